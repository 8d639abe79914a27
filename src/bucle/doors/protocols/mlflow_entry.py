"""The entry points by which MLflow finds Bucle; light, because MLflow loads them whenever it is imported.

`bucle:` is a scheme of our own. `file` and `mlflow-artifacts` are MLflow's: they are answered for only where they lead
to a Bucle project, and handed back to MLflow everywhere else. A path without a scheme stays MLflow's: an entry point
for it would have no name, and uv installs no package that has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = [
    "artifact_store",
    "file_registry_store",
    "file_tracking_store",
    "proxied_artifact_store",
    "registry_store",
    "scorer_store",
    "tracking_store",
]

SCHEME = "bucle"


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """What answers a tracking URI `bucle:…`."""
    from bucle.doors.protocols.mlflow.plugin import TrackingStore

    return TrackingStore(store_uri)


def registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """What answers a registry URI `bucle:…`."""
    from bucle.doors.protocols.mlflow.plugin import RegistryStore

    return RegistryStore(store_uri)


def file_tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """What answers a folder as tracking URI: Bucle when it is a project's, MLflow's own files otherwise."""
    if is_project(store_uri):
        return tracking_store(store_uri, artifact_uri)
    from mlflow.store.tracking.file_store import FileStore

    return FileStore(store_uri, store_uri)


def file_registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """What answers a folder as registry URI; see `file_tracking_store`."""
    if is_project(store_uri):
        return registry_store(store_uri, tracking_uri)
    from mlflow.store.model_registry.file_store import FileStore

    return FileStore(store_uri)


def artifact_store(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """What reads and writes artifacts under `bucle:…`."""
    from bucle.doors.protocols.mlflow.plugin import ArtifactStore

    return ArtifactStore(artifact_uri, tracking_uri, registry_uri)


def proxied_artifact_store(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """What reads and writes under `mlflow-artifacts:`: the project itself when there is no server to go through."""
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
    from mlflow.tracking import get_tracking_uri

    tracking = tracking_uri or get_tracking_uri()
    if urlsplit(tracking).scheme == SCHEME or is_project(tracking):
        return artifact_store(artifact_uri, tracking, registry_uri)
    return MlflowArtifactsRepository(artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri)


def scorer_store(tracking_uri: str | None = None) -> Any:
    """What registers scorers: the tracking store itself, as on an MLflow server."""
    from mlflow.genai.scorers.registry import MlflowTrackingStore, UnsupportedScorerStoreURIException

    if tracking_uri and urlsplit(tracking_uri).scheme != SCHEME and not is_project(tracking_uri):
        raise UnsupportedScorerStoreURIException(tracking_uri, [SCHEME, "http", "https"])
    return MlflowTrackingStore(tracking_uri)


def is_project(uri: str) -> bool:
    """Whether a path or a `file:` URI is a Bucle project's folder."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return False
    path = unquote(parts.path) if parts.scheme else uri
    return bool(path) and (Path(path) / "bucle.toml").is_file()
