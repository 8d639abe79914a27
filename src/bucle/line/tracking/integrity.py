"""Whether everything runs keep as blobs is still here, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from bucle.ground.core import BucleError, decode, make_ref
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.run import Circumstances

__all__ = ["verify_artifacts"]


def verify_artifacts(project: Project) -> list[Fault]:
    """What is missing or damaged among artifacts, diffs and environments of runs, and files of models and traces.

    Returns:
        Empty when all is well.
    Cost: reads each of those blobs once.
    """
    places: dict[str, str] = {}
    with project.database.reading() as connection:
        for owner, path, digest in store.every_artifact(connection):
            places.setdefault(digest, f"{path} of {owner}")
        for id_, circumstances in store.every_circumstance(connection):
            about = decode(circumstances, Circumstances, what="run")
            kept = {"environment": about.environment, "lock": about.lock, "code diff": about.code_diff}
            for name, digest in kept.items():
                if digest:
                    places.setdefault(digest, f"{name} of {make_ref('run', id_)}")
    return [fault for digest, where in places.items() for fault in _faults(project, digest, where)]


def _faults(project: Project, digest: str, where: str) -> Iterator[Fault]:
    try:
        project.blobs.path(digest)
    except BucleError as error:
        yield Fault(where=where, what=error.what)
