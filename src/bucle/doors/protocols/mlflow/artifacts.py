"""Artifacts: the proxy that clients read and write through, lists, and single files for a browser.

A file is streamed both ways. What a browser is given it may save, never show as a page of ours: an HTML or SVG file
that a run logged could otherwise act in this server's name.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import quote

from bucle.doors.protocols.mlflow import trees
from bucle.doors.protocols.mlflow.errors import MlflowError, invalid
from bucle.doors.protocols.mlflow.locations import model_root, owner_and_path, run_root, safe_path
from bucle.doors.protocols.mlflow.wire import Answer, Body, Call, Json, Route, lean, required
from bucle.ground.project import Project
from bucle.line import tracing, tracking

__all__ = ["ROUTES", "check_owner", "listed", "sent", "sent_file"]

UPLOAD_LIMIT = 10 << 20


class ListArtifacts(Body):
    """Which folder of a run."""

    run_id: str = ""
    run_uuid: str = ""
    path: str = ""


class ListProxied(Body):
    """Which folder, from the root of all artifacts on."""

    path: str = ""


class ListModelFiles(Body):
    """Which folder of a logged model."""

    model_id: str = ""
    artifact_directory_path: str = ""


def upload(call: Call, project: Project) -> Json:
    """Keep a file."""
    owner, path = _target(call)
    if not call.owned:  # else it was asked before the file was taken in
        check_upload(call, project)
    if call.owned and isinstance(call.body, Path):
        size = call.body.stat().st_size
        files = {path: (project.blobs.adopt(call.body), size)}
        project.database.grouped(tracking.artifact_work(project, owner, files))
    else:
        tracking.put_artifact(project, owner, path, call.body)
    return {}


def check_upload(call: Call, project: Project) -> None:
    """Whether a file would be kept under this path; asked before its bytes are taken in.

    Raises:
        MlflowError: the path is unsafe, or under nothing that we handed out.
        NotFound: there is no such run, model or trace.
        RunDeleted: it is a run that was put aside.
    """
    owner, path = _target(call)
    tracking.check_path(path)
    kind, _, id_ = owner.partition("/")
    if kind != "run":
        check_owner(project, owner)
    elif tracking.run_by_id(project, id_, columns=()).lifecycle != "active":
        raise tracking.RunDeleted(
            f"The run {id_} is deleted.",
            why="No file is kept for a run that is put aside, by itself or with its experiment.",
            fix="Restore it first.",
            at=id_,
        )


def download(call: Call, project: Project) -> Answer:
    """A file's bytes."""
    given = call.params["artifact_path"]
    if trees.is_tree(given):
        return sent_file(trees.file_of(project, given), given.rpartition("/")[2])
    owner, path = owner_and_path(given)
    return sent(project, owner, path)


def delete(call: Call, project: Project) -> Json:
    """Take away a file, or a folder with all below it."""
    owner, path = owner_and_path(call.params["artifact_path"])
    check_owner(project, owner)
    tracking.delete_artifacts(project, owner, path)
    return {}


def list_proxied(body: ListProxied, project: Project) -> Json:
    """What lies in a folder, by bare names."""
    if trees.is_tree(body.path):
        return lean({"files": trees.list_tree(project, body.path) or None})
    owner, path = owner_and_path(body.path)
    found = tracking.list_artifacts(project, owner, path)
    return lean({"files": [{**one, "path": one["path"].rpartition("/")[2]} for one in listed(found)] or None})


def list_of_run(body: ListArtifacts, project: Project) -> Json:
    """What lies in a folder of a run, by paths from the run's root on."""
    run = tracking.run_by_id(project, required("run_id", body.run_id or body.run_uuid))
    path = safe_path(body.path) if body.path else ""
    files = listed(tracking.list_artifacts(project, f"run/{run.id}", path))
    return lean({"root_uri": run_root(project, run), "files": files or None})


def listed(found: list[tracking.ArtifactInfo]) -> list[Json]:
    """Files and folders as the wire lists them."""
    return [
        {"path": one.path, "is_dir": True} if one.is_dir else {"path": one.path, "is_dir": False, "file_size": one.size}
        for one in found
    ]


def check_owner(project: Project, owner: str) -> None:
    """Whether there is a run, model or trace of this ref.

    Raises:
        NotFound: there is none.
    """
    kind, _, id_ = owner.partition("/")
    if kind == "run":
        tracking.run_by_id(project, id_)
    elif kind == "logged-model":
        tracking.logged_model(project, id_)
    else:
        tracing.trace(project, id_)


def sent(project: Project, owner: str, path: str) -> Answer:
    """A file of an owner as an answer.

    Raises:
        NotFound: there is none.
    """
    return sent_file(tracking.get_artifact(project, owner, path), path.rpartition("/")[2])


def sent_file(file: Path, name: str) -> Answer:
    """A file as an answer that a browser saves and never opens."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    plain = name if name.isascii() and name.isprintable() and '"' not in name and "\\" not in name else "download"
    return Answer(
        200,
        {
            "content-type": kind,
            "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
            "content-security-policy": "sandbox; default-src 'none'",
            "x-content-type-options": "nosniff",
        },
        file,
    )


def get_artifact(call: Call, project: Project) -> Answer:
    """A run's file, for a browser."""
    run_id = _first(call, "run_id") or _first(call, "run_uuid")
    run = tracking.run_by_id(project, required("run_id", run_id))
    return sent(project, f"run/{run.id}", safe_path(required("path", _first(call, "path"))))


def get_model_file(call: Call, project: Project) -> Answer:
    """A logged model's file, for a browser."""
    model = tracking.logged_model(project, call.params["model_id"])
    path = _first(call, "artifact_file_path")
    if not path:
        raise MlflowError("BAD_REQUEST", 'Request must include the "artifact_file_path" query parameter.')
    return sent(project, model.ref, safe_path(path))


def list_of_model(body: ListModelFiles, project: Project) -> Json:
    """What lies in a folder of a logged model."""
    model = tracking.logged_model(project, body.model_id)
    path = safe_path(body.artifact_directory_path) if body.artifact_directory_path else ""
    files = listed(tracking.list_artifacts(project, model.ref, path))
    return lean({"root_uri": model_root(project, model), "files": files or None})


def upload_small(call: Call, project: Project) -> Json:
    """A file of a run in one small request, as MLflow's own pages send it."""
    run_id, path = _first(call, "run_uuid"), _first(call, "path")
    if not run_id:
        raise invalid("Request must specify run_uuid.")
    if not path:
        raise invalid("Request must specify path.")
    if not call.body:
        raise invalid("Request must specify data.")
    run = tracking.run_by_id(project, run_id)
    tracking.put_artifact(project, f"run/{run.id}", safe_path(path), call.body)
    return {}


def _target(call: Call) -> tuple[str, str]:
    owner, path = owner_and_path(call.params["artifact_path"])
    if not path:
        raise invalid(f"Invalid path: {call.params['artifact_path'][:200]!r} names a folder.")
    return owner, path


def _first(call: Call, name: str) -> str:
    return call.query.get(name, [""])[0]


_PROXY = "/api/2.0/mlflow-artifacts"
_AT = "/api/2.0/mlflow"

ROUTES = (
    Route("GET", f"{_PROXY}/artifacts", ListProxied, list_proxied),
    Route("PUT", f"{_PROXY}/artifacts/{{artifact_path:path}}", Call, upload, stream=True, check=check_upload),
    Route("GET", f"{_PROXY}/artifacts/{{artifact_path:path}}", Call, download),
    Route("DELETE", f"{_PROXY}/artifacts/{{artifact_path:path}}", Call, delete),
    Route("GET", f"{_AT}/artifacts/list", ListArtifacts, list_of_run),
    Route("GET", "/get-artifact", Call, get_artifact),
    Route("POST", f"{_AT}/upload-artifact", Call, upload_small, limit=UPLOAD_LIMIT),
    Route("GET", f"{_AT}/logged-models/{{model_id}}/artifacts/directories", ListModelFiles, list_of_model),
    Route("GET", f"{_AT}/logged-models/{{model_id}}/artifacts/files", Call, get_model_file),
)
