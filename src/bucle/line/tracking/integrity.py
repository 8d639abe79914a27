"""Whether everything runs keep as blobs is still here, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from bucle.ground.core import BucleError, make_ref
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line.tracking.run import Run, runs

__all__ = ["verify_artifacts"]


def verify_artifacts(project: Project) -> list[Fault]:
    """What is missing or damaged among artifacts, diffs and environments of runs; empty when all is well.

    Cost: reads each of those blobs once.
    """
    places: dict[str, str] = {}
    for run in runs(project, limit=None):
        for name, digest in _kept(run):
            places.setdefault(digest, f"{name} of {make_ref('run', run.id)}")
    return [fault for digest, where in places.items() for fault in _faults(project, digest, where)]


def _kept(run: Run) -> Iterator[tuple[str, str]]:
    yield from run.artifacts.items()
    yield "environment", run.environment
    yield "lock", run.lock
    if run.code_diff:
        yield "code diff", run.code_diff


def _faults(project: Project, digest: str, where: str) -> Iterator[Fault]:
    try:
        project.blobs.path(digest)
    except BucleError as error:
        yield Fault(where=where, what=error.what)
