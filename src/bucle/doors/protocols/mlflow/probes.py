"""What a client asks before anything else: which version speaks here, and what it can do."""

from __future__ import annotations

from bucle.doors.protocols.mlflow.multipart import has_addresses
from bucle.doors.protocols.mlflow.wire import Answer, Json, NoBody, Route
from bucle.ground.project import Project

__all__ = ["ROUTES", "VERSION"]

VERSION = "3.17.2"
"""The release of MLflow whose wire is spoken here; its clients ask for it before they send spans."""


def version(body: NoBody, project: Project) -> Answer:
    """The version, as bare text."""
    return Answer(200, {"content-type": "text/plain; charset=utf-8"}, VERSION.encode())


def server_info(body: NoBody, project: Project) -> Json:
    """What this server offers of what not every server has."""
    return {
        "store_type": None,
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": has_addresses(project),
        "multipart_downloads_enabled": has_addresses(project),
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }


ROUTES = (
    Route("GET", "/version", NoBody, version, quick=True),
    Route("GET", "/api/3.0/mlflow/server-info", NoBody, server_info, quick=True),
)
