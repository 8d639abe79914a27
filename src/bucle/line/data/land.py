"""Write, audit, publish: a batch lands where nobody reads, its contract runs there, only then it becomes visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import polars as pl

from bucle.ground.core import digest_of_value, make_ref, short, suggest, to_builtins
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line import contracts as rules
from bucle.line.contracts import QUARANTINE, Contract, ContractInvalid, ContractReport, ContractViolated
from bucle.line.data import store
from bucle.line.data.audit import joined, verdict, violated
from bucle.line.data.batches import Batches
from bucle.line.data.branch import INGEST, MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.commit import Commit, Mode
from bucle.line.data.errors import EmptyCommit
from bucle.line.data.guarded import contract_file, referred, surroundings
from bucle.line.data.lake import Manifest, load_manifest
from bucle.line.data.mask import mask_report
from bucle.line.data.publish import (
    Also,
    Change,
    Frames,
    Move,
    as_frames,
    build,
    done_before,
    lineage,
    publish,
    rows_added,
)
from bucle.line.data.snapshot import frame_of_files
from bucle.line.data.tables import BRANCHES
from bucle.line.files import keep_files

__all__ = ["land"]

Reports = dict[str, ContractReport]


@dataclass
class _Batch:
    """What lands, and what has been found out about it.

    Attributes:
        change: the rows to write: good ones and those set aside, in their tables.
        contracts: table -> contract, of the tables that have one.
        branch: where it is to be visible.
        key: the idempotency key.
        aside: table -> the report of rows that were set aside.
        reports: table -> what the last audit said.
    """

    change: Change
    contracts: Mapping[str, Contract]
    branch: str
    key: str | None
    aside: Reports
    reports: Reports = field(default_factory=dict)


def land(
    project: Project,
    tables: Frames,
    *,
    contracts: Mapping[str, Contract],
    branch: str = MAIN,
    message: str,
    mode: Mode = "append",
    key: str | None = None,
    quarantine: bool | None = None,
    also: Also | None = None,
) -> Commit:
    """Make a batch visible if it keeps its contracts; otherwise nothing of it.

    The rows are written to a branch of their own, `ingest-…`, read back from there and checked: each rule on the batch,
    uniqueness against the table as well, references against the tables as they will be. Only then the target branch
    moves to them, in one step for all tables. If it moved meanwhile, the batch is put on the new head and checked
    against that. The contracts themselves are kept in the same commit.

    Where a contract sets rows aside, those that break a rule about rows land in `TABLE__quarantine`, in the same
    commit, with the rules they break; the others land in the table. A rule about the whole batch still refuses all.

    Args:
        tables: name -> rows.
        contracts: table -> contract; one for a table that is not in the batch is not needed, a table without one is
            taken as it is.
        branch: where it is to be visible.
        mode: as for `commit`; a quarantine goes the way of its table.
        key: an idempotency key; a second call with it gives the first one's commit and writes nothing.
        quarantine: whether bad rows are set aside; None leaves it to each contract.
        also: more to be written in the transaction that makes the batch visible; what it raises takes all of it back.
    Returns:
        The branch's new head.
    Raises:
        ContractViolated: a rule is broken; `.report` says which, how often, and shows the first rows.
        EmptyCommit: no table is given.
        ContractInvalid: a contract stands under another table's name, or cannot be computed.
        And what `commit` raises.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    if not tables:
        raise EmptyCommit("A landing needs a table.", why="There is nothing to check.", fix="Name some rows.")
    # Rules are checked in memory: out of core is for tables without a contract.
    frames = {
        name: rows.collect() if isinstance(rows, Batches) and name in contracts else rows
        for name, rows in as_frames(tables).items()
    }
    _check_names(frames, contracts)
    mine = {name: _quarantining(contracts[name], quarantine) for name in frames if name in contracts}
    head = head_of(project, branch)
    batch = _Batch(_change(project, frames, mine, mode, message), mine, branch, key, {})
    ruled = _ruled(frames, mine)
    if any(True for name, contract in mine.items() for _ in rules.check_schema(ruled[name], contract)):
        batch.reports = {name: rules.check(ruled[name], contract) for name, contract in mine.items()}
        raise _refuse(project, batch, ingest="", commit="")
    refused = _set_aside(project, batch, head)
    candidate = build(project, batch.change, head)
    ingest = _land_apart(project, head, candidate, branch, message)
    if refused:
        raise _refuse(project, batch, ingest=ingest, commit=candidate.id)

    def audited(now: Commit | None) -> Commit:
        same = (now.id if now else "") == (head.id if head else "")
        made = candidate if same else build(project, batch.change, now)
        _audit(project, batch, now, made)
        return made

    try:
        return publish(project, _move(batch, audited, ingest, also))
    except ContractViolated as violation:
        raise _refuse(project, batch, ingest=ingest, commit=candidate.id) from violation
    except Exception:
        _drop_again(project, ingest)
        raise


def _quarantining(contract: Contract, quarantine: bool | None) -> Contract:
    return contract if quarantine is None else msgspec.structs.replace(contract, quarantine=quarantine)


def _ruled(frames: Mapping[str, pl.DataFrame | Batches], contracts: Mapping[str, Contract]) -> dict[str, pl.DataFrame]:
    """The rows of the tables that have a contract."""
    return {name: rows for name, rows in frames.items() if name in contracts and isinstance(rows, pl.DataFrame)}


def _change(
    project: Project,
    frames: Mapping[str, pl.DataFrame | Batches],
    contracts: Mapping[str, Contract],
    mode: Mode,
    message: str,
) -> Change:
    kept = {contract_file(name): rules.dump(contract).encode() for name, contract in contracts.items()}
    return Change(tables=frames, mode=mode, files=keep_files(project, kept), message=message)


def _set_aside(project: Project, batch: _Batch, head: Commit | None) -> bool:
    """Move bad rows to the tables' quarantines; whether the batch is to be refused instead, as it is."""
    frames, mode = dict(batch.change.tables), batch.change.mode
    ruled = _ruled(frames, batch.contracts)
    for name, contract in batch.contracts.items():
        if not contract.quarantine:
            continue
        others = referred(project, contract, head, frames, mode)
        made = rules.split(ruled[name], contract, tables=others, **surroundings(project, contract, head, mode))
        batch.aside[name] = made.report
        frames[name] = made.good
        aside = f"{name}{QUARANTINE}"
        if made.bad.height or (mode == "overwrite" and head is not None and aside in head.tables):
            frames[aside] = made.bad
    if any(not report.passed for report in batch.aside.values()):
        batch.reports = batch.aside
        return True
    batch.change.tables = frames
    return False


def _move(batch: _Batch, audited: Callable[[Commit | None], Commit], ingest: str, also: Also | None) -> Move:
    change = batch.change

    def drop(transaction: Transaction) -> None:
        if also is not None:
            also(transaction)
        if store.the_branch(transaction.connection, ingest) is not None:
            transaction.delete(BRANCHES, {"name": ingest})

    return Move(
        branch=batch.branch,
        build=audited,
        describe=lambda made: {
            "mode": change.mode,
            "tables": rows_added(made, change),
            "ingest": ingest,
            **verdict(batch.contracts, batch.reports, with_rows=False),
        },
        kind="data.committed",
        message=change.message,
        key=batch.key,
        also=drop,
        way="landing" if all(name.removesuffix(QUARANTINE) in batch.contracts for name in change.tables) else "commit",
    )


def _audit(project: Project, batch: _Batch, head: Commit | None, made: Commit) -> None:
    mode = batch.change.mode
    batch.reports = {}
    for name, contract in batch.contracts.items():
        rows = _landed(project, batch.change, made, name)
        others = referred(project, contract, made, {}, mode)
        report = rules.check(rows, contract, tables=others, **surroundings(project, contract, head, mode))
        aside = batch.aside.get(name)
        if aside is not None:
            report = msgspec.structs.replace(report, set_aside=aside.set_aside, rows_set_aside=aside.rows_set_aside)
        batch.reports[name] = report
    batch.reports = {name: mask_report(project, one, batch.branch) for name, one in batch.reports.items()}
    joined = _joined(batch)
    if not joined.passed:
        raise _violated(joined, "")


def _landed(project: Project, change: Change, made: Commit, name: str) -> pl.DataFrame:
    """The batch as it was written, without the columns it did not bring."""
    manifest = load_manifest(project, made.tables[name].manifest)
    new = Manifest(columns=manifest.columns, data=change.staged[name].files, metadata={})
    return frame_of_files(project, new).select(change.tables[name].columns).collect()


def _land_apart(project: Project, head: Commit | None, candidate: Commit, branch: str, message: str) -> str:
    ingest = f"{INGEST}{short(candidate.id)}"
    with project.ledger.transaction(
        "data.landed",
        subject=make_ref("branch", ingest),
        actor=project.actor,
        reason=message,
        data={"branch": ingest, "commit": candidate.id, "into": branch},
    ) as transaction:
        store.put_commit(transaction, candidate)
        store.put_branch(transaction, ingest, candidate.id, at=project.clock.now(), actor=project.actor)
        lineage(transaction, head, candidate)
    return ingest


def _refuse(project: Project, batch: _Batch, *, ingest: str, commit: str) -> ContractViolated:
    """Drop the ingest branch and note the refusal, once for the same batch under the same key."""
    batch.reports = {name: mask_report(project, one, batch.branch) for name, one in batch.reports.items()}
    report, branch, message = _joined(batch), batch.branch, batch.change.message
    content = digest_of_value([commit, report])
    try:
        with project.ledger.transaction(
            "data.refused",
            subject=make_ref("branch", branch),
            actor=project.actor,
            reason=message,
            key=f"{batch.key}/refused/{short(content)}" if batch.key is not None else None,
            data={
                "branch": branch,
                "message": message,
                "report": to_builtins(report),
                "refused": commit,
                **verdict(batch.contracts, batch.reports, with_rows=True),
            },
        ) as transaction:
            if ingest and store.the_branch(transaction.connection, ingest) is not None:
                transaction.delete(BRANCHES, {"name": ingest})
    except AlreadyDone:
        _drop_again(project, ingest)
    return _violated(report, commit)


def _drop_again(project: Project, ingest: str) -> None:
    with project.database.reading() as connection:
        left = bool(ingest) and store.the_branch(connection, ingest) is not None
    if left:
        subject = make_ref("branch", ingest)
        with project.ledger.transaction("data.branch_deleted", subject=subject, actor=project.actor) as transaction:
            transaction.delete(BRANCHES, {"name": ingest})


def _violated(report: ContractReport, commit: str) -> ContractViolated:
    look = f" Look at the refused rows: bucle data show {report.breaches[0].table} --at {short(commit)}"
    return violated(report, "Mend the source", look if commit else "")


def _joined(batch: _Batch) -> ContractReport:
    return joined(batch.reports, tuple(batch.change.tables))


def _check_names(frames: Mapping[str, object], contracts: Mapping[str, Contract]) -> None:
    for name, contract in contracts.items():
        if contract.table != name:
            raise ContractInvalid(
                f"The contract given for {name!r} is that of {contract.table!r}.",
                why="Rows would be held against another table's rules.",
                fix=suggest(contract.table, frames) or f"Give it under {contract.table!r}.",
                at=name,
            )
        if f"{name}{QUARANTINE}" in frames:
            raise ContractInvalid(
                f"Rows of {name}{QUARANTINE!r} cannot land beside those of {name!r}.",
                why="What is set aside of a batch stands there.",
                fix="Land them in two steps.",
                at=name,
            )
