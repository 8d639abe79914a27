"""What a contract is held against at a commit: the rows there are, the batch before, the tables it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from bucle.ground.core import check_name
from bucle.ground.project import Project
from bucle.line import contracts
from bucle.line.contracts import ColumnRule, Contract
from bucle.line.data import store
from bucle.line.data.batches import Batches
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit, Mode, TableState
from bucle.line.data.lake import load_manifest
from bucle.line.data.pii import pii_tags
from bucle.line.data.snapshot import frame_of_files, lazy, scan, state_of
from bucle.line.files import find_entry, pieces_of

if TYPE_CHECKING:
    from bucle.line.profiles import TableProfile

__all__ = ["contract_file", "contract_of", "infer_contract", "profile", "referred", "rows_of", "surroundings"]

FOLDER = ".contracts/"
"""Where a commit's file tree keeps the contracts its tables were landed by."""

FURTHEST = 1000
"""So many commits are looked through for the batch before."""


def infer_contract(
    project: Project, table: str, *, at: str = MAIN, slack: float = 0.1, drift: float | None = None
) -> Contract:
    """A contract that a table's rows at a commit keep, with some room; as `contracts.infer`.

    A contract is a file that many read: of columns that are tagged as personal it has no limit and no list of values.

    Raises:
        NoSuchTable: the commit does not hold it.
    Cost: a read of the table and a few passes over it.
    """
    found = contracts.infer(scan(project, table, at=at), table, slack=slack, drift=drift)
    tags = pii_tags(project, table, at=at)
    rules = tuple(_without_values(rule) if rule.name in tags else rule for rule in found.columns)
    return msgspec.structs.replace(found, columns=rules)


def profile(project: Project, table: str, *, at: str = MAIN, show_personal: bool = False) -> TableProfile:
    """What a table's rows at a commit look like; as `profiles.measure`, and bound to the snapshot's digest.

    Args:
        show_personal: whether to show values of columns that may be personal.
    Raises:
        NoSuchTable: the commit does not hold it.
    Cost: a read of the table and a few passes over it.
    """
    # Templates take a while to load; who only reads tables never needs them.
    from bucle.line import profiles  # noqa: PLC0415

    commit = resolve(project, at)
    state = state_of(commit, table)
    rows = scan(project, table, at=commit.id)
    return profiles.measure(rows, table, digest=state.digest, show_personal=show_personal)


def contract_of(project: Project, table: str, *, at: str = MAIN) -> Contract | None:
    """The contract that a table's last landing before or at a commit was held against; None when there was none.

    Raises:
        NoSuchTable: the commit does not hold the table.
        ContractInvalid: it was written by a newer version.
    """
    commit = resolve(project, at)
    state_of(commit, table)
    entry = find_entry(project, commit.files, contract_file(table))
    if entry is None:
        return None
    text = b"".join(pieces_of(project, entry.digest)).decode()
    return contracts.parse(text, f"{table} at {at}")


def contract_file(table: str) -> str:
    """The path in the file tree at which a commit keeps a table's contract."""
    return f"{FOLDER}{check_name(table, 'table name')}.yaml"


def surroundings(project: Project, contract: Contract, head: Commit | None, mode: Mode) -> dict[str, Any]:
    """What `contracts.check` needs to know of a table when a batch lands on a commit."""
    there = head is not None and contract.table in head.tables
    existing = (
        rows_of(project, head.tables[contract.table]) if there and head is not None and mode == "append" else None
    )
    found: dict[str, Any] = {"existing": existing, "at": project.clock.now()}
    if head is not None and any(rule.drift is not None for rule in contract.columns):
        before = _compared_with(project, contract, head)
        found["previous"] = None if before is None else contracts.distributions(before, contract)
    return found


def referred(
    project: Project, contract: Contract, at: Commit | None, landing: Mapping[str, pl.DataFrame | Batches], mode: Mode
) -> dict[str, pl.LazyFrame]:
    """The tables a contract's references lead to, as they are once a batch has landed on a commit."""
    found = dict[str, pl.LazyFrame]()
    for name in {reference.table for reference in contract.references}:
        parts = [landing[name].lazy()] if name in landing else []
        if at is not None and name in at.tables and not (parts and mode == "overwrite"):
            parts.append(rows_of(project, at.tables[name]))
        if parts:
            found[name] = pl.concat(parts, how="diagonal_relaxed")
    return found


def rows_of(project: Project, state: TableState) -> pl.LazyFrame:
    """The rows of a table at a commit."""
    return frame_of_files(project, load_manifest(project, state.manifest))


def _without_values(rule: ColumnRule) -> ColumnRule:
    return msgspec.structs.replace(
        rule, minimum=None, maximum=None, mean_minimum=None, mean_maximum=None, allowed=(), pattern=""
    )


def _compared_with(project: Project, contract: Contract, head: Commit) -> pl.LazyFrame | None:
    """The rows that drift is measured against; None when there are none yet."""
    if contract.drift_against not in ("previous", "table"):
        return lazy(project, contract.table, at=contract.drift_against)
    if contract.table not in head.tables:
        return None
    state = head.tables[contract.table]
    return rows_of(project, state) if contract.drift_against == "table" else _last_batch(project, head, state)


def _last_batch(project: Project, head: Commit, state: TableState) -> pl.LazyFrame:
    """The rows that the last change to a table brought: all of them when it was not an append."""
    before = _older_state(project, head, state)
    manifest = load_manifest(project, state.manifest)
    if before is None or manifest.deletes or manifest.by_id:
        return frame_of_files(project, manifest)
    older = {file.path for file in load_manifest(project, before.manifest).data}
    new = [file for file in manifest.data if file.path not in older]
    return frame_of_files(project, msgspec.structs.replace(manifest, data=tuple(new) or manifest.data))


def _older_state(project: Project, head: Commit, state: TableState) -> TableState | None:
    with project.database.reading() as connection:
        for commit in store.history(connection, head.id, FURTHEST):
            found = commit.tables.get(state.name)
            if found is None or found.digest != state.digest:
                return found
    return None
