"""Verdict: what a table's contract said of one batch; the ledger holds one for every batch, landed or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bucle.ground.core import Record, make_ref, to_builtins
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line.contracts import Breach
from bucle.line.data.access import kept_from_some
from bucle.line.data.mask import mask_breach

__all__ = ["Verdict", "told_to_all", "verdicts"]

KINDS = ("data.committed", "data.refused")


class Verdict(Record, frozen=True):
    """What a table's contract said of one batch.

    Attributes:
        seq: the event's number in the ledger.
        at: when.
        actor: who landed it.
        branch: where it was to be visible.
        table: the table.
        message: what the batch was called.
        passed: whether it landed. A batch of several tables lands only when each keeps its contract.
        commit: what holds the rows, also when they were refused; '' when they were not even written.
        contract: the digest of the contract.
        rows: how many rows were looked at.
        rows_set_aside: how many of the batch went into the quarantine.
        rules: how many rules were looked at.
        score: the share of them that hold, 0 to 1.
        breaches: rules that kept it out.
        warnings: broken rules that only warn.
        set_aside: rules for which rows were set aside.
        skipped: rules that could not be looked at, and why.
    """

    seq: int
    at: datetime
    actor: str
    branch: str
    table: str
    message: str
    passed: bool
    commit: str
    contract: str
    rows: int
    rows_set_aside: int = 0
    rules: int = 0
    score: float = 1.0
    breaches: tuple[Breach, ...] = ()
    warnings: tuple[Breach, ...] = ()
    set_aside: tuple[Breach, ...] = ()
    skipped: tuple[str, ...] = ()


def verdicts(
    project: Project,
    table: str | None = None,
    *,
    branch: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    among: int | None = None,
) -> list[Verdict]:
    """The verdicts on batches, newest first.

    Of a table that not everybody may read no value is told, also when that was said later than the verdict.

    Args:
        table: only of this table; None is every table.
        branch: only of batches for this branch.
        since: only from this instant on.
        until: only before this instant.
        limit: at most so many.
        among: only of the newest so many commits and refusals.
    Cost: a read of the ledger's events of landings; with a limit, of as many of the newest as it takes.
    """
    subject = make_ref("branch", branch) if branch is not None else None
    reach = among if limit is None else min(4 * limit, among or 4 * limit)
    while True:
        events = project.ledger.events(kinds=KINDS, subject=subject, newest_first=True, limit=reach)
        found = [
            one
            for event in events
            if (since is None or event.at >= since) and (until is None or event.at < until)
            for one in _of_event(event)
            if table is None or one.table == table
        ]
        if limit is None or reach is None or len(found) >= limit or len(events) < reach or reach == among:
            return _shown(project, found[:limit])
        reach = min(8 * reach, among or 8 * reach)


def told_to_all(project: Project, events: Iterable[Event]) -> list[Event]:
    """Events as anybody may see them: of a table that not everybody may read no value that broke its contract is told.

    A verdict that was noted since that was said has none in the first place.

    Cost: nothing, unless there are verdicts among them; then a look at who may read their tables.
    """
    listed = list(events)
    tables = {table for event in listed for table in _tables_of(event)}
    denied = kept_from_some(project, tables) if tables else set()
    return [_event_without(event, denied) if denied & _tables_of(event) else event for event in listed]


def _tables_of(event: Event) -> set[str]:
    return set(event.data.get("contracts", {})) if event.kind in KINDS else set()


def _event_without(event: Event, denied: set[str]) -> Event:
    data = dict(event.data)
    if "report" in data:
        data["report"] = _report_without(data["report"], denied)
    data["reports"] = {table: _report_without(one, denied) for table, one in data.get("reports", {}).items()}
    return msgspec.structs.replace(event, data=data)


def _report_without(report: dict[str, Any], denied: set[str]) -> dict[str, Any]:
    bare = {
        name: [
            to_builtins(mask_breach(msgspec.convert(one, Breach))) if one["table"] in denied else one
            for one in report[name]
        ]
        for name in _BREACHES
        if name in report
    }
    return {**report, **bare}


def _shown(project: Project, found: Sequence[Verdict]) -> list[Verdict]:
    denied = kept_from_some(project, {one.table for one in found})
    return [_without_values(one) if one.table in denied else one for one in found]


def _without_values(one: Verdict) -> Verdict:
    parts = {name: tuple(map(mask_breach, getattr(one, name))) for name in _BREACHES}
    return msgspec.structs.replace(one, **parts)


def _of_event(event: Event) -> list[Verdict]:
    contracts: dict[str, str] = event.data.get("contracts", {})
    return [_verdict(event, table, digest) for table, digest in sorted(contracts.items())]


def _verdict(event: Event, table: str, contract: str) -> Verdict:
    data: dict[str, Any] = event.data
    passed = event.kind == "data.committed"
    # Events of older versions say how many rows came in and no more.
    report = data.get("reports", {}).get(table) or {"rows": data.get("tables", {}).get(table, {}).get("rows_added", 0)}
    told = {name: report[name] for name in _FROM_REPORT if name in report}
    told |= {name: msgspec.convert(report.get(name, ()), tuple[Breach, ...]) for name in _BREACHES}
    return Verdict(
        seq=event.seq,
        at=event.at,
        actor=event.actor,
        branch=str(data.get("branch", "")),
        table=table,
        message=str(data.get("message", "")),
        passed=passed,
        commit=str(data.get("commit" if passed else "refused", "")),
        contract=contract,
        **told,
    )


_FROM_REPORT = ("rows", "rows_set_aside", "rules", "score", "skipped")
_BREACHES = ("breaches", "warnings", "set_aside")
