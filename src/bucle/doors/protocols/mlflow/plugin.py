"""MLflow without a server: its stores, answered by the wire in this process. The only module that imports mlflow.

MLflow's own REST stores do all the translating; here only the one step is replaced where they would send a request.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.entities import FileInfo, RunStatus
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, INVALID_PARAMETER_VALUE, ErrorCode
from mlflow.store.artifact.artifact_repo import ArtifactRepository, verify_artifact_path
from mlflow.store.model_registry.rest_store import RestStore as RegistryRestStore
from mlflow.store.tracking.rest_store import RestStore as TrackingRestStore
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.rest_utils import MlflowHostCreds

from bucle.doors.protocols.mlflow.routes import Wire
from bucle.doors.protocols.mlflow.wire import Answer, Call
from bucle.ground.core import BucleError
from bucle.ground.project import Project, find_root
from bucle.line import tracking

__all__ = ["ArtifactStore", "RegistryStore", "TrackingStore", "project_folder", "release"]

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MARK = "/-/"
"""Between a project's folder and an artifact's path in `bucle:///folder/-/1/4f1c…/artifacts`."""


def project_folder(uri: str) -> Path:
    """The folder a tracking URI names: `bucle:///abs/folder`, `bucle:folder`, `bucle:` for where we are, or a path.

    Raises:
        MlflowException: no project is there.
    """
    parts = urlsplit(uri)
    text = uri.removeprefix(f"{parts.scheme}:").removeprefix("//") if parts.scheme else uri
    folder = Path(unquote(text.partition(MARK)[0]) if parts.scheme else text)
    try:
        return find_root(Path.cwd()) if not text else _exactly(folder.resolve())
    except BucleError as error:
        raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error


def release(uri: str) -> None:
    """Close a tracking URI's project; its next use opens it again. Without this it is closed when the process ends."""
    _opened(project_folder(uri), os.getpid()).project.close()


@cache
def _opened(root: Path, pid: int) -> Wire:
    try:
        project = Project.open(root)
    except BucleError as error:
        raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
    atexit.register(_close, project, pid)
    return Wire(project)


def _close(project: Project, pid: int) -> None:
    if os.getpid() == pid:
        project.close()


def _exactly(folder: Path) -> Path:
    found = find_root(folder)
    if found != folder:
        raise MlflowException(
            f"There is no bucle.toml in {folder}. Run `bucle init` there, or write bucle://{found}",
            error_code=INVALID_PARAMETER_VALUE,
        )
    return found


class _InProcess:
    """What all stores have in common: a request that goes to the wire instead of a socket."""

    _folder: Path

    @property
    def _wire(self) -> Wire:
        # After a fork the child opens the project anew: connections and threads are the parent's.
        return _opened(self._folder, os.getpid())

    def _ask(
        self, endpoint: str, method: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        call = Call(method, unquote(endpoint), headers={name.lower(): text for name, text in (headers or {}).items()})
        if isinstance(body, bytes):
            call.body = body
        elif method == "GET":
            call.query = {name: _texts(value) for name, value in (body or {}).items()}
        elif body is not None:
            call.body = json.dumps(body).encode()
        return _told(self._wire.answer(call))

    def _fill(self, endpoint: str, method: str, json_body: str | None, proto: Any) -> Any:
        parse_dict(self._ask(endpoint, method, None if json_body is None else json.loads(json_body)), proto)
        return proto


class TrackingStore(_InProcess, TrackingRestStore):
    """Runs, experiments, models logged and traces of a project, without a server.

    Args:
        store_uri: see `project_folder`.
    """

    def __init__(self, store_uri: str) -> None:
        super().__init__(lambda: MlflowHostCreds(host=store_uri))
        self._folder = project_folder(store_uri)

    @property
    def supports_workspaces(self) -> bool:
        """Never: a project is one workspace."""
        return False

    def _call_endpoint(
        self,
        api: Any,
        json_body: str | None = None,
        endpoint: str | None = None,
        retry_timeout_seconds: float | None = None,
        response_proto: Any = None,
    ) -> Any:
        known = self._V3_METHOD_TO_INFO if api in self._V3_APIS else self._METHOD_TO_INFO
        path, method = known[api]
        self._validate_workspace_support_if_specified()
        return self._fill(endpoint or path, method, json_body, response_proto or api.Response())

    def _mcp_request(self, method: str, path: str, json: Any = None, params: Any = None) -> Any:
        return self._ask(f"/api/3.0/mlflow/mcp-servers{path}", method, params if method == "GET" else json)

    def update_run_info(self, run_id: str, run_status: Any, end_time: int | None, run_name: str | None) -> Any:
        """Change a run; when it has ended the ledger knows all of it at once, for no server will see to that."""
        info = super().update_run_info(run_id, run_status, end_time, run_name)
        if RunStatus.is_terminated(RunStatus.from_string(info.status)):
            tracking.seal(self._wire.project, [run_id])
        return info

    def log_spans(self, location: str, spans: list[Any], tracking_uri: str | None = None) -> list[Any]:
        """Keep spans, sent as OpenTelemetry's protobuf like everywhere else."""
        from mlflow.tracing.utils.otlp import MLFLOW_EXPERIMENT_ID_HEADER, OTLP_TRACES_PATH, resource_to_otel_proto
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        if not spans:
            return []
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.CopyFrom(resource_to_otel_proto(getattr(spans[0]._span, "resource", None)))
        resource.scope_spans.add().spans.extend(span.to_otel_proto() for span in spans)
        headers = {
            "Content-Type": "application/x-protobuf",
            "Accept": "application/json",
            MLFLOW_EXPERIMENT_ID_HEADER: location,
        }
        self._ask(OTLP_TRACES_PATH, "POST", request.SerializeToString(), headers=headers)
        return spans

    def upsert_online_scoring_config(
        self, experiment_id: str, scorer_name: str, sample_rate: float, filter_string: str | None = None
    ) -> Any:
        """Say which share of traces a scorer judges."""
        body = {"experiment_id": experiment_id, "name": scorer_name, "sample_rate": sample_rate}
        if filter_string is not None:
            body["filter_string"] = filter_string
        return _online_config(self._ask("/api/3.0/mlflow/scorers/online-config", "PUT", body)["config"])

    def get_online_scoring_configs(self, scorer_ids: list[str]) -> list[Any]:
        """Which share of traces each of these scorers judges."""
        if not scorer_ids:
            return []
        found = self._ask("/api/3.0/mlflow/scorers/online-configs", "GET", {"scorer_ids": scorer_ids})
        return [_online_config(config) for config in found.get("configs", [])]


class RegistryStore(_InProcess, RegistryRestStore):
    """Registered models and their versions of a project, without a server.

    Args:
        store_uri: see `project_folder`.
    """

    def __init__(self, store_uri: str) -> None:
        super().__init__(lambda: MlflowHostCreds(host=store_uri))
        self._folder = project_folder(store_uri)

    @property
    def supports_workspaces(self) -> bool:
        """Never: a project is one workspace."""
        return False

    def _call_endpoint(
        self, api: Any, json_body: str, call_all_endpoints: bool = False, extra_headers: Any = None
    ) -> Any:
        self._validate_workspace_support_if_specified()
        proto = self._get_response_from_method(api)
        if not call_all_endpoints:
            path, method = self._get_endpoint_from_method(api)
            return self._fill(path, method, json_body, proto)
        endpoints = self._get_all_endpoints_from_method(api)
        for path, method in endpoints[:-1]:
            try:
                return self._fill(path, method, json_body, proto)
            except RestException as error:
                if error.error_code != ErrorCode.Name(ENDPOINT_NOT_FOUND):
                    raise
        path, method = endpoints[-1]
        return self._fill(path, method, json_body, proto)

    def _call_webhook_endpoint(self, api: Any, json_body: str | None = None, webhook_id: str | None = None) -> Any:
        path, method = self._get_webhook_endpoint_from_method(api)
        path = path.format(webhook_id=webhook_id) if webhook_id else path
        return self._fill(path, method, json_body, self._get_response_from_method(api))


class ArtifactStore(_InProcess, ArtifactRepository):
    """Files of runs and models, read from and written to the project itself.

    Args:
        artifact_uri: `bucle:///folder/-/path`, or `mlflow-artifacts:/path` beside a tracking URI that leads here.
        tracking_uri: where the project is, when `artifact_uri` does not say.
    """

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        scheme, _, rest = artifact_uri.partition(":")
        if scheme == "bucle":
            self._root = unquote(rest.partition(MARK)[2])
            self._folder = project_folder(artifact_uri)
        else:
            self._root = unquote(urlsplit(artifact_uri).path)
            self._folder = project_folder(tracking_uri or "")
        self._root = self._root.strip("/")

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Keep a file under its own name."""
        verify_artifact_path(artifact_path)
        target = self._path(artifact_path, Path(local_file).name)
        _told(self._wire.answer(Call("PUT", f"{ARTIFACTS}/{target}", body=Path(local_file))))

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Keep a folder's files, with their paths below it."""
        folder = Path(local_dir)
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            below = file.parent.relative_to(folder).as_posix()
            parts = [part for part in (artifact_path, "" if below == "." else below) if part]
            self.log_artifact(str(file), "/".join(parts) or None)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """What lies in a folder; nothing when `path` is a file."""
        call = Call("GET", ARTIFACTS, query={"path": [self._path(path)]})
        found = _told(self._wire.answer(call)).get("files", [])
        below = f"{path.rstrip('/')}/" if path else ""
        return [FileInfo(f"{below}{one['path']}", one.get("is_dir", False), one.get("file_size")) for one in found]

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Take away a file, or a folder with all below it."""
        _told(self._wire.answer(Call("DELETE", f"{ARTIFACTS}/{self._path(artifact_path)}")))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        answer = self._wire.answer(Call("GET", f"{ARTIFACTS}/{self._path(remote_file_path)}"))
        if answer.status != 200:
            _told(answer)
        if isinstance(answer.body, Path):
            shutil.copyfile(answer.body, local_path)
            return
        pieces = (answer.body,) if isinstance(answer.body, bytes) else answer.body
        with Path(local_path).open("wb") as out:
            for piece in pieces:
                out.write(piece)

    def _path(self, *parts: str | None) -> str:
        return "/".join(part.strip("/") for part in (self._root, *parts) if part)


def _told(answer: Answer) -> dict[str, Any]:
    """The JSON of an answer, or the exception that MLflow's client raises for it."""
    body = answer.body
    if not isinstance(body, bytes):
        body = b"{}" if isinstance(body, Path) else b"".join(body)
    found: dict[str, Any] = json.loads(body or b"{}")
    if answer.status != 200:
        raise RestException(found)
    return found


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _online_config(found: Mapping[str, Any]) -> Any:
    from mlflow.genai.scorers.online.entities import OnlineScoringConfig

    return OnlineScoringConfig(
        online_scoring_config_id=found["online_scoring_config_id"],
        scorer_id=found["scorer_id"],
        sample_rate=found["sample_rate"],
        filter_string=found.get("filter_string"),
        experiment_id=found["experiment_id"],
    )
