"""Files that go past this server: uploads to the bucket in parts, downloads from it, by addresses that hold a while.

Where the blobs lie in a folder there are no such addresses; a client is told so and goes through the proxy.
"""

from __future__ import annotations

from datetime import timedelta

from bucle.doors.protocols.mlflow import trees
from bucle.doors.protocols.mlflow.artifacts import check_owner
from bucle.doors.protocols.mlflow.errors import MlflowError, invalid
from bucle.doors.protocols.mlflow.locations import owner_and_path, safe_path
from bucle.doors.protocols.mlflow.wire import Body, Call, Json, Route, required
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["ROUTES", "has_addresses"]

NO_UPLOAD = "Multipart upload is not supported for the current artifact repository"
NO_DOWNLOAD = "Multipart download is not supported for the current artifact repository"
NO_PRESIGNED_UPLOAD = "Presigned upload is not supported for the current artifact repository"
NO_PRESIGNED_DOWNLOAD = "Presigned download is not supported for the current artifact repository"

UPLOAD = timedelta(days=1)
"""How long a client has for an upload."""

DOWNLOAD_S = 900
"""Seconds an address for a download holds, unless the client wants another time."""

LONGEST_S = 7 * 24 * 3600


class CreateUpload(Body):
    """A file that will come in parts."""

    artifact_path: str = ""
    path: str = ""
    num_parts: int = 1


class Part(Body):
    """A part that was sent."""

    part_number: int = 0
    etag: str = ""


class CompleteUpload(Body):
    """All parts were sent."""

    artifact_path: str = ""
    path: str = ""
    upload_id: str = ""
    parts: list[Part] = []


class AbortUpload(Body):
    """No more parts will be sent."""

    artifact_path: str = ""
    path: str = ""
    upload_id: str = ""


class WantedFile(Body):
    """A file of a run, and for how many seconds its address is to hold."""

    run_id: str = ""
    path: str = ""
    expiration: int = DOWNLOAD_S


def has_addresses(project: Project) -> bool:
    """Whether files can go past this server."""
    return bool(project.blobs.place.url)


def create(body: CreateUpload, project: Project) -> Json:
    """An address a part."""
    _refuse_without_addresses(project, NO_UPLOAD)
    owner, _ = _target(body.artifact_path, body.path)
    check_owner(project, owner)
    upload = project.blobs.create_upload(body.num_parts, expires=UPLOAD)
    assert upload is not None
    credentials = [{"url": url, "part_number": number, "headers": {}} for number, url in enumerate(upload.urls, 1)]
    return {"upload_id": upload.id, "credentials": credentials}


def complete(body: CompleteUpload, project: Project) -> Json:
    """Keep the parts as one file of a run or a model."""
    _refuse_without_addresses(project, NO_UPLOAD)
    owner, path = _target(body.artifact_path, body.path)
    check_owner(project, owner)
    parts = sorted(body.parts, key=lambda part: part.part_number)
    if [part.part_number for part in parts] != list(range(1, len(parts) + 1)):
        raise invalid("Invalid value for parameter 'parts': part numbers are 1, 2, 3, … without a gap.")
    digest = project.blobs.complete_upload(required("upload_id", body.upload_id), [part.etag for part in parts])
    size = project.blobs.path(digest).stat().st_size
    project.database.grouped(tracking.artifact_work(project, owner, {path: (digest, size)}))
    return {}


def abort(body: AbortUpload, project: Project) -> Json:
    """Forget the parts."""
    _refuse_without_addresses(project, NO_UPLOAD)
    project.blobs.abort_upload(required("upload_id", body.upload_id))
    return {}


def presigned(call: Call, project: Project) -> Json:
    """An address to download a file from, of a run, a model or a version."""
    _refuse_without_addresses(project, NO_DOWNLOAD)
    given = call.params["artifact_path"]
    if trees.is_tree(given):
        file = trees.file_info(project, given)
        return _signed(project, file.digest, file.size_bytes, DOWNLOAD_S, "url")
    owner, path = owner_and_path(given)
    info = tracking.artifact_info(project, owner, path)
    return _signed(project, info.digest, info.size, DOWNLOAD_S, "url")


def presigned_of_run(body: WantedFile, project: Project) -> Json:
    """An address to download a run's file from."""
    run = tracking.run_by_id(project, required("run_id", body.run_id))
    _refuse_without_addresses(project, NO_PRESIGNED_DOWNLOAD)
    if not 1 <= body.expiration <= LONGEST_S:
        raise invalid(f"expiration must be between 1 and {LONGEST_S} seconds (got {body.expiration}).")
    info = tracking.artifact_info(project, f"run/{run.id}", safe_path(required("path", body.path)))
    return _signed(project, info.digest, info.size, body.expiration, "presigned_url")


def presigned_upload(call: Call, project: Project) -> Json:
    """Refused: nobody would tell us when the file is there, and a blob has no name before."""
    raise MlflowError("NOT_IMPLEMENTED", NO_PRESIGNED_UPLOAD)


def _signed(project: Project, digest: str, size: int | None, seconds: int, field: str) -> Json:
    address = project.blobs.sign(digest, expires=timedelta(seconds=seconds))
    return {field: address, "headers": {}, "file_size": size}


def _target(artifact_path: str, file: str) -> tuple[str, str]:
    """Whose file it will be, and its path; of the client's own path only the name counts."""
    name = file.replace("\\", "/").rpartition("/")[2]
    owner, folder = owner_and_path(artifact_path)
    return owner, safe_path(f"{folder}/{required('path', name)}" if folder else required("path", name))


def _refuse_without_addresses(project: Project, told: str) -> None:
    if not has_addresses(project):
        raise MlflowError("NOT_IMPLEMENTED", told)


_PROXY = "/api/2.0/mlflow-artifacts"
_AT = "/api/2.0/mlflow/artifacts"

ROUTES = (
    Route("POST", f"{_PROXY}/mpu/create/{{artifact_path:path}}", CreateUpload, create),
    Route("POST", f"{_PROXY}/mpu/complete/{{artifact_path:path}}", CompleteUpload, complete),
    Route("POST", f"{_PROXY}/mpu/abort/{{artifact_path:path}}", AbortUpload, abort),
    Route("GET", f"{_PROXY}/presigned/{{artifact_path:path}}", Call, presigned),
    Route("POST", f"{_AT}/presigned-download-url", WantedFile, presigned_of_run),
    Route("POST", f"{_AT}/presigned-upload-url", Call, presigned_upload),
)
