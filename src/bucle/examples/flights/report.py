"""The demo's report: what the loop did with the year, and the proof that it can be trusted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import jinja2
import polars as pl

from bucle import loop
from bucle.examples.flights.world import month_start
from bucle.ground.core import NotFound, Record
from bucle.ground.project import Project
from bucle.line import data, gates, serving

__all__ = ["CycleRow", "DemoReport", "MonthRow", "as_html", "make_report", "pick_prediction"]

STATIC = 1
"""The version that is never retrained; it answers every question in the shadow."""


class CycleRow(Record, frozen=True):
    """One turn of the loop.

    Attributes:
        number: from 1.
        opened_at: when it began, on the accelerated clock.
        trigger: what started it.
        reason: in words.
        champion: the version that served then, 0 for none.
        challenger: the version it brought forth, 0 for none.
        verdict: what the gates said.
        rollout: how traffic moved.
        decision: how it ended.
        why: why it ended so.
        is_drill: whether the demo staged it.
    """

    number: int
    opened_at: datetime
    trigger: str
    reason: str
    champion: int
    challenger: int
    verdict: str
    rollout: str
    decision: str
    why: str
    is_drill: bool


class MonthRow(Record, frozen=True):
    """A month of live traffic.

    Attributes:
        month: its first instant.
        flights: predictions with a known outcome.
        versions: which versions answered clients.
        loop_auc: area under the ROC curve of what clients were answered.
        static_auc: the same of the version that was never retrained, on the same flights.
    """

    month: datetime
    flights: int
    versions: tuple[int, ...]
    loop_auc: float
    static_auc: float


class DemoReport(Record, frozen=True):
    """All that the demo shows at its end.

    Attributes:
        cycles: every turn of the loop.
        months: every month of traffic; the last row is the whole year.
        drills: name -> what came of it.
        failed_requests: requests that a client saw fail in this session.
        trace: one prediction followed back.
        proof: and computed again.
        audit: of everything.
        seconds: how long this took.
    """

    cycles: tuple[CycleRow, ...]
    months: tuple[MonthRow, ...]
    drills: dict[str, str]
    failed_requests: int
    trace: loop.Trace
    proof: loop.Proof
    audit: loop.Audit
    seconds: float


def make_report(
    project: Project, policy: loop.Policy, drills: dict[str, str], *, failed_requests: int, prediction: str
) -> DemoReport:
    """Read the report out of the ledger and the tables; compute the prediction again; audit everything.

    Args:
        prediction: the one to be traced, see `pick_prediction`.
    Cost: one training, and one read of all that is kept.
    """
    cycles = tuple(_cycle_row(cycle) for cycle in loop.cycles(loop.read_state(project, policy)))
    traced = loop.trace(project, prediction)
    return DemoReport(
        cycles=cycles,
        months=_months(project, policy),
        drills=_drills(drills, cycles),
        failed_requests=failed_requests,
        trace=traced,
        proof=loop.reproduce(project, traced),
        audit=loop.audit(project),
        seconds=0.0,
    )


def pick_prediction(project: Project, endpoint: str) -> str:
    """The last answer that a trained version gave to a client.

    Raises:
        NotFound: nobody was answered yet.
    """
    frame = serving.predictions(project, endpoint, columns=["prediction_id", "arm", "status", "instant", "row"])
    answered = frame.filter((pl.col("arm") == serving.CHAMPION) & (pl.col("status") == "ok"))
    if answered.is_empty():
        raise NotFound("No prediction is on record yet.", fix="Play at least one month.")
    return str(answered.sort("instant", "prediction_id")["prediction_id"][-1])


def as_html(report: DemoReport) -> str:
    """The report as one self-contained page."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    return environment.get_template("report.html").render(report=report)


def _drills(held: dict[str, str], cycles: tuple[CycleRow, ...]) -> dict[str, str]:
    """What was staged, and what the loop made of it."""
    ends = {"shuffled-labels": "labels shuffled", "faulty-version": "right offline, wrong online"}
    told = dict(held)
    for name, reason in ends.items():
        for row in cycles:
            if name in told and reason in row.reason:
                told[name] += f": {row.decision.replace('_', ' ')}: {row.why.partition(';')[0]}"
    return told


def _cycle_row(cycle: loop.Cycle) -> CycleRow:
    return CycleRow(
        number=cycle.number,
        opened_at=cycle.opened_at,
        trigger=cycle.trigger,
        reason=cycle.reason.removeprefix(f"{cycle.trigger}: "),
        champion=cycle.champion,
        challenger=cycle.candidate,
        verdict=_verdict_text(cycle),
        rollout=_rollout_text(cycle),
        decision=cycle.outcome or cycle.phase,
        why="; ".join(cycle.failures),
        is_drill="drill" in cycle.reason,
    )


def _verdict_text(cycle: loop.Cycle) -> str:
    if not cycle.verdict:
        return "-"
    return "refused" if cycle.outcome == "refused" else "passed"


def _rollout_text(cycle: loop.Cycle) -> str:
    if not cycle.rollout:
        return "-"
    if not cycle.champion:
        return "100%"
    days = (cycle.closed_at - cycle.opened_at).days if cycle.closed_at else 0
    rows = cycle.looks[-1].rows if cycle.looks else 0
    return f"canary, {len(cycle.looks)} looks, {days} days, {rows} answers at the end"


def _months(project: Project, policy: loop.Policy) -> tuple[MonthRow, ...]:
    columns = ["prediction_id", "version", "arm", "status", "instant", "entity", "score"]
    frame = serving.predictions(project, policy.endpoint, columns=columns).filter(pl.col("score").is_not_null())
    labels = data.scan(project, policy.labels.table, columns=[policy.labels.entity, policy.labels.label])
    truth = labels.rename({policy.labels.entity: "entity", policy.labels.label: "label"})
    live = frame.filter(pl.col("arm") != "shadow").unique("entity", keep="first")
    static = frame.filter((pl.col("arm") == "shadow") & (pl.col("version") == STATIC)).unique("entity", keep="first")
    rows = live.join(static.select("entity", static="score"), on="entity").join(truth, on="entity")
    rows = rows.with_columns(month=pl.col("instant").dt.truncate("1mo")).sort("month")
    months = [_month_row(part) for _, part in rows.group_by("month", maintain_order=True)]
    return (*months, _month_row(rows)) if months else ()


def _month_row(rows: pl.DataFrame) -> MonthRow:
    labels = rows["label"].to_numpy()
    first = rows["month"][0]
    return MonthRow(
        month=first if isinstance(first, datetime) else month_start(1),
        flights=rows.height,
        versions=tuple(sorted(rows["version"].unique().to_list())),
        loop_auc=gates.auc(labels, rows["score"].to_numpy()),
        static_auc=gates.auc(labels, rows["static"].to_numpy()),
    )
