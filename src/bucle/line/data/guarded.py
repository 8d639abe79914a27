"""Contracts of tables at a commit: inferred from the rows that stand there."""

from __future__ import annotations

from bucle.ground.project import Project
from bucle.line import contracts
from bucle.line.contracts import Contract
from bucle.line.data.branch import MAIN
from bucle.line.data.snapshot import scan

__all__ = ["infer_contract"]


def infer_contract(project: Project, table: str, *, at: str = MAIN, slack: float = 0.1) -> Contract:
    """A contract that a table's rows at a commit keep, with some room; as `contracts.infer`.

    Raises:
        NoSuchTable: the commit does not hold it.
    Cost: a read of the table and a few passes over it.
    """
    return contracts.infer(scan(project, table, at=at), table, slack=slack)
