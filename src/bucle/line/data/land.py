"""Write, audit, publish: a batch lands where nobody reads, its contract runs there, only then it becomes visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from bucle.ground.core import digest_of_value, make_ref, short, suggest, to_builtins
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.batches import Batches
from bucle.line.data.branch import INGEST, MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.check import check_contract, check_repeats, check_schema
from bucle.line.data.commit import Commit, Mode
from bucle.line.data.contract import Contract
from bucle.line.data.errors import ContractInvalid, ContractViolated, EmptyCommit
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
from bucle.line.data.report import Breach, ContractReport
from bucle.line.data.snapshot import frame_of_files
from bucle.line.data.tables import BRANCHES

__all__ = ["land"]


def land(
    project: Project,
    tables: Frames,
    *,
    contracts: Mapping[str, Contract],
    branch: str = MAIN,
    message: str,
    mode: Mode = "append",
    key: str | None = None,
    also: Also | None = None,
) -> Commit:
    """Make a batch visible if it keeps its contracts; otherwise nothing of it.

    The rows are written to a branch of their own, `ingest-…`, read back from there and checked: each rule on the batch,
    uniqueness against the table as well. Only then the target branch moves to them, in one step for all tables. If it
    moved meanwhile, the batch is put on the new head and its keys are checked against that.

    Args:
        tables: name -> rows.
        contracts: table -> contract; one for a table that is not in the batch is not needed, a table without one is
            taken as it is.
        branch: where it is to be visible.
        mode: as for `commit`.
        key: an idempotency key; a second call with it gives the first one's commit and writes nothing.
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
    ruled = {name: rows for name, rows in frames.items() if name in contracts and isinstance(rows, pl.DataFrame)}
    early = [breach for name, rows in ruled.items() for breach in check_schema(rows, contracts[name])]
    if early:
        reports = [check_contract(rows, contracts[name]) for name, rows in ruled.items()]
        raise _refuse(project, _joined(frames, reports), branch, message, key, ingest="", commit="")
    change = Change(tables=frames, mode=mode, files={}, message=message)
    head = head_of(project, branch)
    candidate = build(project, change, head)
    ingest = _land_apart(project, head, candidate, branch, message)

    def audited(now: Commit | None) -> Commit:
        same = (now.id if now else "") == (head.id if head else "")
        made = candidate if same else build(project, change, now)
        _audit(project, change, contracts, now, made)
        return made

    try:
        return publish(project, _move(change, contracts, audited, branch=branch, ingest=ingest, key=key, also=also))
    except ContractViolated as refused:
        raise _refuse(project, refused.report, branch, message, key, ingest=ingest, commit=candidate.id) from refused
    except Exception:
        _drop_again(project, ingest)
        raise


def _move(
    change: Change,
    contracts: Mapping[str, Contract],
    audited: Callable[[Commit | None], Commit],
    *,
    branch: str,
    ingest: str,
    key: str | None,
    also: Also | None,
) -> Move:
    def drop(transaction: Transaction) -> None:
        if also is not None:
            also(transaction)
        if store.the_branch(transaction.connection, ingest) is not None:
            transaction.delete(BRANCHES, {"name": ingest})

    return Move(
        branch=branch,
        build=audited,
        describe=lambda made: {
            "mode": change.mode,
            "tables": rows_added(made, change),
            "ingest": ingest,
            "contracts": {name: digest_of_value(contracts[name]) for name in change.tables if name in contracts},
        },
        kind="data.committed",
        message=change.message,
        key=key,
        also=drop,
    )


def _audit(
    project: Project, change: Change, contracts: Mapping[str, Contract], head: Commit | None, made: Commit
) -> None:
    reports = list[ContractReport]()
    for name in change.tables:
        if name in contracts:
            batch = _landed(project, change, made, name)
            report = check_contract(batch, contracts[name])
            repeats = list[Breach]()
            if change.mode == "append" and head is not None and name in head.tables:
                existing = frame_of_files(project, load_manifest(project, head.tables[name].manifest))
                repeats = list(check_repeats(batch, existing, contracts[name]))
            reports.append(ContractReport(table=name, rows=report.rows, breaches=(*report.breaches, *repeats)))
    joined = _joined(change.tables, reports)
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


def _refuse(
    project: Project,
    report: ContractReport,
    branch: str,
    message: str,
    key: str | None,
    *,
    ingest: str,
    commit: str,
) -> ContractViolated:
    """Drop the ingest branch and note the refusal, once for the same batch under the same key."""
    report = mask_report(project, report, branch)
    content = digest_of_value([commit, report])
    try:
        with project.ledger.transaction(
            "data.refused",
            subject=make_ref("branch", branch),
            actor=project.actor,
            reason=message,
            key=f"{key}/refused/{short(content)}" if key is not None else None,
            data={"branch": branch, "message": message, "report": to_builtins(report), "refused": commit},
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
    first, more = report.breaches[0], len(report.breaches) - 1
    look = f" Look at the refused rows: bucle data show {first.table} --at {short(commit)}" if commit else ""
    return ContractViolated(
        f"The batch breaks its contract: {first.sentence()}{f', and {more} more' if more else ''}.",
        report=report,
        why="Nothing of it is visible to readers.",
        fix=f"Mend the source, or if the data is right, contracts/{first.table}.yaml.{look}",
        at=f"{first.table}.{first.column}" if first.column else first.table,
    )


def _joined(tables: Mapping[str, object], reports: list[ContractReport]) -> ContractReport:
    return ContractReport(
        table=", ".join(tables),
        rows=sum(report.rows for report in reports),
        breaches=tuple(breach for report in reports for breach in report.breaches),
    )


def _check_names(frames: Mapping[str, object], contracts: Mapping[str, Contract]) -> None:
    for name, contract in contracts.items():
        if contract.table != name:
            raise ContractInvalid(
                f"The contract given for {name!r} is that of {contract.table!r}.",
                why="Rows would be held against another table's rules.",
                fix=suggest(contract.table, frames) or f"Give it under {contract.table!r}.",
                at=name,
            )
