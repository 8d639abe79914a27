"""Audit: is everything still as it was written? The log, every row of state, every run, every blob, every
table's files."""

from __future__ import annotations

from bucle.ground.core import BucleError, Record, short
from bucle.ground.ledger import Fault, verify_log
from bucle.ground.project import Project
from bucle.line import data, evaluation, registry, tracking

__all__ = ["Audit", "audit"]


class Audit(Record, frozen=True):
    """What an audit found.

    Attributes:
        events: entries of the log read.
        root: the Merkle root over them; noted elsewhere, it proves later that nothing before was changed.
        rows: rows of state compared with the log.
        blobs: blobs read and hashed.
        faults: what is not as it was written, the log's first; empty when all is well.
    """

    events: int
    root: str
    rows: int
    blobs: int
    faults: tuple[Fault, ...]

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults


def audit(project: Project) -> Audit:
    """Verify a project from end to end; damage is a finding, not an error.

    Cost: reads everything the project keeps.
    """
    log = verify_log(project.database, project.anchor)
    count, spoilt = _blobs(project)
    elsewhere: list[Fault] = []
    looks = (data.verify_files, tracking.verify_runs, registry.verify_packages, evaluation.verify_evaluation_datasets)
    for look in looks:
        try:
            elsewhere += look(project)
        except BucleError as error:
            elsewhere.append(Fault(where=look.__module__, what=str(error)))
    faults = tuple(dict.fromkeys([*log.faults, *spoilt, *elsewhere]))
    return Audit(events=log.size, root=log.root, rows=log.rows, blobs=count, faults=faults)


def _blobs(project: Project) -> tuple[int, list[Fault]]:
    count, faults = 0, list[Fault]()
    for digest in sorted(project.blobs.digests()):
        count += 1
        try:
            project.blobs.check(digest)
        except BucleError as error:
            faults.append(Fault(where=f"blob {short(digest)}", what=error.what))
    return count, faults
