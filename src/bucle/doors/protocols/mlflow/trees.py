"""Trees: the files of registered versions, under the digest they are bound to, at `mlflow-artifacts:/trees/<digest>`.

What is logged to a run after a version was registered from it does not reach those who load the version.
"""

from __future__ import annotations

from pathlib import Path

from bucle.doors.protocols.mlflow.errors import MlflowError
from bucle.doors.protocols.mlflow.locations import TREES, safe_path
from bucle.doors.protocols.mlflow.wire import Json, lean
from bucle.ground.project import Project
from bucle.line import registry

__all__ = ["PREFIX", "file_info", "file_of", "is_tree", "list_tree", "tree_root"]

PREFIX = f"{TREES}/"


def tree_root(digest: str) -> str:
    """Where a version's files lie, as an address for MLflow's clients."""
    return f"mlflow-artifacts:/{PREFIX}{digest}"


def is_tree(path: str) -> bool:
    """Whether a path of the artifact proxy is one of a version's files."""
    return path.strip("/").startswith(PREFIX)


def list_tree(project: Project, path: str) -> list[Json]:
    """What lies in a folder of a version, by bare names.

    Raises:
        NoSuchPackage: no version has this digest.
        MlflowError: the path is unsafe.
    """
    digest, below = _parts(path)
    prefix = f"{below}/" if below else ""
    files = {name: file for name, file in registry.tree(project, digest).items() if name.startswith(prefix)}
    here = dict.fromkeys(name[len(prefix) :].partition("/")[:2] for name in sorted(files))
    return [
        {"path": name, "is_dir": True}
        if slash
        else lean({"path": name, "is_dir": False, "file_size": files[prefix + name].size_bytes})
        for name, slash in here
    ]


def file_of(project: Project, path: str) -> Path:
    """The bytes of one file of a version; errors as for `file_info`."""
    return project.blobs.path(file_info(project, path).digest)


def file_info(project: Project, path: str) -> registry.TreeFile:
    """What is known of one file of a version.

    Raises:
        NoSuchPackage: no version has this digest.
        MlflowError: it has no such file, or the path is unsafe.
    """
    digest, below = _parts(path)
    found = registry.tree(project, digest).get(below)
    if found is None:
        raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"The version has no file {below[:200]!r}.")
    return found


def _parts(path: str) -> tuple[str, str]:
    digest, _, below = safe_path(path.strip("/")).removeprefix(PREFIX).partition("/")
    return digest, below.strip("/")
