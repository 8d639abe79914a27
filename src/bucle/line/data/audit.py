"""Audit: a batch against its tables' contracts, and what the log is told of it.

What `land` brings is audited before it becomes visible, and so is what an Iceberg client commits: a table whose last
landing had a contract keeps it, whoever writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from bucle.ground.core import digest_of_value, make_ref, to_builtins
from bucle.ground.project import Project
from bucle.line import contracts as rules
from bucle.line.contracts import Contract, ContractReport, ContractViolated
from bucle.line.data.commit import Commit, Mode, TableState
from bucle.line.data.guarded import contract_file, referred, surroundings
from bucle.line.data.lake import load_manifest
from bucle.line.data.mask import mask_report
from bucle.line.data.snapshot import frame_of_files
from bucle.line.data.step import Step, move_on
from bucle.line.files import find_entry, pieces_of

__all__ = ["Audit", "joined", "move_audited", "verdict", "violated"]

Reports = Mapping[str, ContractReport]


@dataclass
class Audit:
    """What a client's commit was found to be.

    Attributes:
        project: whose tables.
        branch: where it is to be visible.
        contracts: table -> the contract that its new rows were held against.
        reports: table -> what was found.
    """

    project: Project
    branch: str
    contracts: dict[str, Contract] = field(default_factory=dict)
    reports: dict[str, ContractReport] = field(default_factory=dict)

    def check(self, head: Commit | None, tables: Mapping[str, TableState], names: Iterable[str]) -> None:
        """Hold what is new in tables against the contracts that stand in the head's file tree.

        Rows that were added are a batch; when anything else happened that brought files, all rows that the table then
        has are one. A change that brings none is no batch. Rows cannot be set aside: a client's files are taken whole.

        Args:
            head: what is built on.
            tables: every table as it is to be.
            names: those that may have changed.
        Raises:
            ContractViolated: a rule is broken that keeps a batch out.
            ContractInvalid: a contract was written by a newer version.
        Cost: a read of the new files; of the whole table when a client did more than add.
        """
        self.contracts.clear()
        self.reports.clear()
        if head is None or not head.files:
            return
        for name in names:
            before, state = head.tables.get(name), tables[name]
            contract = self._contract(head, name) if before != state else None
            batch = _batch(self.project, before, state) if contract else None
            if contract is None or batch is None:
                continue
            rows, mode = batch
            after = msgspec.structs.replace(head, tables=dict(tables))
            report = rules.check(
                rows,
                contract,
                tables=referred(self.project, contract, after, {}, mode),
                **surroundings(self.project, contract, head, mode),
            )
            self.contracts[name] = contract
            self.reports[name] = mask_report(self.project, report, self.branch)
        found = joined(self.reports)
        if not found.passed:
            raise violated(found, "Write rows that keep it")

    def told(self) -> dict[str, Any]:
        """For the event: nothing when there was no contract."""
        return verdict(self.contracts, self.reports, with_rows=False) if self.contracts else {}

    def note_refusal(self, message: str) -> None:
        """Have the log say what was refused."""
        with self.project.ledger.transaction(
            "data.refused",
            subject=make_ref("branch", self.branch),
            actor=self.project.actor,
            reason=message,
            data={
                "branch": self.branch,
                "message": message,
                "report": to_builtins(joined(self.reports)),
                "refused": "",
                **verdict(self.contracts, self.reports, with_rows=True),
            },
        ):
            pass

    def _contract(self, head: Commit, table: str) -> Contract | None:
        entry = find_entry(self.project, head.files, contract_file(table))
        if entry is None:
            return None
        return rules.parse(b"".join(pieces_of(self.project, entry.digest)).decode(), f"{table} at {self.branch}")


def _batch(project: Project, before: TableState | None, after: TableState) -> tuple[pl.LazyFrame, Mode] | None:
    """The rows to be looked at, and whether they are added or take the place of those there; None when none came."""
    now = load_manifest(project, after.manifest)
    was = load_manifest(project, before.manifest) if before else None
    known = {file.path for file in was.data} if was else set[str]()
    new = tuple(file for file in now.data if file.path not in known)
    if not new:
        return None
    if was is not None and was.deletes == now.deletes and len(known) + len(new) == len(now.data):
        return frame_of_files(project, msgspec.structs.replace(now, data=new, deletes=())), "append"
    return frame_of_files(project, now), "overwrite"


def move_audited(
    project: Project, step: Callable[[Step], None], audit: Audit, *, branch: str, message: str, key: str | None
) -> Commit:
    """Move the branch; what an audit refuses is noted, and what it found goes into the event."""
    try:
        return move_on(project, step, branch=branch, message=message, key=key, told=audit.told)
    except ContractViolated:
        audit.note_refusal(message)
        raise


def verdict(contracts: Mapping[str, Contract], reports: Reports, *, with_rows: bool) -> dict[str, Any]:
    """What the event says of the contracts: their digests, and a report for each."""
    told = reports if with_rows else {name: _without_rows(one) for name, one in reports.items()}
    return {
        "contracts": {name: digest_of_value(one) for name, one in contracts.items()},
        "reports": {name: {**to_builtins(one), "score": one.score} for name, one in told.items()},
    }


def joined(reports: Reports, tables: tuple[str, ...] = ()) -> ContractReport:
    """One report of all.

    Args:
        tables: what it is about; those that have a report unless given.
    """
    every = list(reports.values())
    return ContractReport(
        table=", ".join(tables or reports),
        rows=sum(report.rows for report in every),
        breaches=tuple(breach for report in every for breach in report.breaches),
        warnings=tuple(breach for report in every for breach in report.warnings),
        rules=sum(report.rules for report in every),
        skipped=tuple(told for report in every for told in report.skipped),
        set_aside=tuple(breach for report in every for breach in report.set_aside),
        rows_set_aside=sum(report.rows_set_aside for report in every),
    )


def violated(report: ContractReport, mend: str, look: str = "") -> ContractViolated:
    """The error for a batch that breaks its contract.

    Args:
        mend: what the one who brought it can do.
        look: where its rows can be seen.
    """
    first, more = report.breaches[0], len(report.breaches) - 1
    return ContractViolated(
        f"The batch breaks its contract: {first.sentence()}{f', and {more} more' if more else ''}.",
        report=report,
        why="Nothing of it is visible to readers.",
        fix=f"{mend}, or if the data is right, contracts/{first.table}.yaml.{look}",
        at=f"{first.table}.{first.column}" if first.column else first.table,
    )


def _without_rows(report: ContractReport) -> ContractReport:
    """A batch that lands has its rows in its tables; the log need not repeat them."""
    bare = {
        name: tuple(msgspec.structs.replace(one, rows=()) for one in getattr(report, name))
        for name in ("warnings", "set_aside")
    }
    return msgspec.structs.replace(report, **bare)
