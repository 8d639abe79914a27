"""`/monitor/{model}`: has the world changed, or the model?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from bucle.doors.ui.parameters import Name
from bucle.ground.core import NotFound, Record, suggest
from bucle.ground.project import Project
from bucle.line import deploy, monitoring
from bucle.line.monitoring import Drift, Quality, Rules, Signal, Watch, rules_of

__all__ = ["Cell", "Heat", "Monitor", "MonitorRow", "Monitors", "NotWatched", "Point", "Served", "monitor", "monitors"]

Windows = Annotated[int, msgspec.Meta(ge=1, le=60)]


class NotWatched(NotFound):
    """Monitoring has never looked at this model."""

    code = "BU1607"


class Cell(Record, frozen=True):
    """One feature in one window; None where it was not counted."""

    psi: float
    drifted: bool
    rows: int
    nulls: float
    mean: float | None


class Heat(Record, frozen=True):
    """One feature over the windows.

    Attributes:
        feature: the feature; `prediction` for the answers.
        kind: `numeric`, `categorical` or `prediction`.
        worst: its greatest PSI.
        threshold: from which on it counts.
        cells: one a window.
    """

    feature: str
    kind: str
    worst: float
    threshold: float
    cells: tuple[Cell | None, ...]


class Point(Record, frozen=True):
    """The quality of one version in one window; None where its labels do not suffice."""

    auc: float | None
    low: float | None
    high: float | None
    labelled: int


class Served(Record, frozen=True):
    """A line of the quality chart.

    Attributes:
        name: `served` for all that clients got, else the version.
        version: the version; 0 for what clients got.
        points: one a window.
    """

    name: str
    version: int
    points: tuple[Point | None, ...]


class Look(Record, frozen=True):
    """One window as a whole.

    Attributes:
        since, until: the window.
        versions: those that answered clients.
        rows: predictions clients asked for.
        error_rate: share of their requests that failed.
        p50_ms, p95_ms: latency.
        quality: of what clients got.
        drifted: features of the champion that drifted.
        signals: raised then.
    """

    since: datetime
    until: datetime
    versions: tuple[int, ...]
    rows: int
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    quality: Quality | None
    drifted: tuple[str, ...]
    signals: int


class Monitor(Record, frozen=True):
    """One model in production.

    Attributes:
        model: the model.
        endpoint: the endpoint looked at.
        looks: one a window, oldest first.
        heat: one a feature, the worst first.
        lines: live quality.
        signals: newest first.
        rules: the thresholds.
    """

    model: str
    endpoint: str
    looks: tuple[Look, ...]
    heat: tuple[Heat, ...]
    lines: tuple[Served, ...]
    signals: tuple[Signal, ...]
    rules: Rules


class MonitorRow(Record, frozen=True):
    """One watched model at a glance.

    Attributes:
        model, endpoint: what is watched.
        looks: how many windows.
        until: the end of the newest.
        auc: of what clients got, oldest window first.
        drifted: features that drifted in the newest window.
        signals: raised in the newest window.
    """

    model: str
    endpoint: str
    looks: int
    until: datetime
    auc: tuple[float | None, ...]
    drifted: tuple[str, ...]
    signals: int


class Monitors(Record, frozen=True):
    """Every model that is watched.

    Attributes:
        models: one a model and endpoint.
        signals: the newest of all.
    """

    models: tuple[MonitorRow, ...]
    signals: tuple[Signal, ...]


def monitors(project: Project) -> Monitors:
    """Every watched model. Cost: the reports of the last windows."""
    found = []
    for endpoint in deploy.endpoints(project):
        reports = monitoring.watched(project, endpoint, limit=12)[::-1]
        for model in sorted({window.model for report in reports for window in report.windows}):
            looks = [_look(report, model) for report in reports if _answered(report, model)]
            if looks:
                found.append(
                    MonitorRow(
                        model=model,
                        endpoint=endpoint,
                        looks=len(looks),
                        until=looks[-1].until,
                        auc=tuple(look.quality.auc if look.quality else None for look in looks),
                        drifted=looks[-1].drifted,
                        signals=looks[-1].signals,
                    )
                )
    return Monitors(models=tuple(found), signals=tuple(monitoring.signals(project, limit=100)))


def monitor(project: Project, *, model: Name, windows: Windows = 24) -> Monitor:
    """One model's last windows.

    Args:
        model: the model.
        windows: so many.
    Raises:
        NotWatched: nothing was ever seen of it.
    Cost: the reports of these windows.
    """
    for endpoint in deploy.endpoints(project):
        reports = [one for one in monitoring.watched(project, endpoint, limit=windows) if _answered(one, model)][::-1]
        if reports:
            signals = [one for one in monitoring.signals(project, endpoint, limit=500) if one.model in (model, "")]
            return Monitor(
                model=model,
                endpoint=endpoint,
                looks=tuple(_look(report, model) for report in reports),
                heat=tuple(_heat(reports, model)),
                lines=tuple(_lines(reports, model)),
                signals=tuple(signals),
                rules=rules_of(project),
            )
    known = [row.model for row in monitors(project).models]
    raise NotWatched(
        f"Monitoring has not looked at a model {model!r} yet.",
        why=f"It has seen: {', '.join(known) or 'none'}.",
        fix=suggest(model, known) or "Windows are looked at when the loop turns: bucle loop run",
        at="model",
    )


def _answered(report: Watch, model: str) -> list[monitoring.Window]:
    return [window for window in report.windows if window.model == model and window.arm != "shadow"]


def _look(report: Watch, model: str) -> Look:
    mine = _answered(report, model)
    requests, failures = sum(one.requests for one in mine), sum(one.failures for one in mine)
    greatest = max(mine, key=lambda one: one.rows)
    return Look(
        since=min(one.since for one in mine),
        until=max(one.until for one in mine),
        versions=tuple(sorted({one.version for one in mine})),
        rows=sum(one.rows for one in mine),
        error_rate=failures / requests if requests else 0.0,
        p50_ms=greatest.latency_ms(0.5),
        p95_ms=greatest.latency_ms(0.95),
        quality=monitoring.quality(*mine),
        drifted=tuple(one.feature for one in _drifts(report, model) if one.drifted),
        signals=sum(one.model in (model, "") for one in report.signals),
    )


def _drifts(report: Watch, model: str) -> list[Drift]:
    """Drift of the version that answered most clients."""
    greatest = max(_answered(report, model), key=lambda one: one.rows)
    return [one for one in report.drifts if (one.version, one.arm) == (greatest.version, greatest.arm)]


def _heat(reports: list[Watch], model: str) -> list[Heat]:
    found = defaultdict[str, list[Drift | None]](lambda: [None] * len(reports))
    for place, report in enumerate(reports):
        for one in _drifts(report, model):
            found[one.feature][place] = one
    rows = [_row(feature, drifts) for feature, drifts in found.items()]
    return sorted(rows, key=lambda row: (row.kind != "prediction", -row.worst / row.threshold))


def _row(feature: str, drifts: Iterable[Drift | None]) -> Heat:
    listed = list(drifts)
    known = [one for one in listed if one is not None]
    return Heat(
        feature=feature,
        kind=known[-1].kind,
        worst=max(one.psi for one in known),
        threshold=known[-1].threshold,
        cells=tuple(None if one is None else _cell(one) for one in listed),
    )


def _cell(one: Drift) -> Cell:
    return Cell(psi=one.psi, drifted=one.drifted, rows=one.rows, nulls=one.nulls, mean=one.mean)


def _lines(reports: list[Watch], model: str) -> list[Served]:
    shadows = sorted(
        {one.version for report in reports for one in report.windows if one.model == model and one.arm == "shadow"}
    )
    served = Served(name="served", version=0, points=tuple(_point(_answered(report, model)) for report in reports))
    return [served, *(_alone(reports, model, version) for version in shadows)]


def _alone(reports: list[Watch], model: str, version: int) -> Served:
    """One version in every window it saw: in the shadow or, where it had no shadow, as what clients got."""
    points = []
    for report in reports:
        mine = [one for one in report.windows if (one.model, one.version) == (model, version)]
        points.append(_point([one for one in mine if one.arm == "shadow"] or mine))
    return Served(name=f"{model}@{version}", version=version, points=tuple(points))


def _point(windows: list[monitoring.Window]) -> Point | None:
    if not windows:
        return None
    found = monitoring.quality(*windows)
    return Point(auc=found.auc, low=found.auc_low, high=found.auc_high, labelled=found.labelled)
