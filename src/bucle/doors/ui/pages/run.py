"""`/runs/{run}`: is it learning right now, and what went into it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bucle.doors.ui import store
from bucle.doors.ui.columns import SYSTEM, leading, smaller_is_better
from bucle.doors.ui.pages.files import Folder, folder
from bucle.doors.ui.parameters import Id, Offset, Text
from bucle.doors.ui.problems import attempt
from bucle.ground.core import Environment, Record, decode
from bucle.ground.project import Project
from bucle.line import tracing, tracking
from bucle.line.tracing import Trace
from bucle.line.tracking import Dataset, Run, Summary

__all__ = ["CodePage", "RunPage", "run"]

Tab = Literal["", "charts", "system", "files", "code", "runs", "traces"]

ON_TOP = 6
"""So many charts stand on the first tab."""

CHARTS = 24
"""Charts a page of the tab of charts."""

LINES = 60
"""Metrics a page of the table."""

MOST_CODE = 200_000
"""Characters of a diff that are shown."""

SHOWN = 100
"""Child runs and traces a page."""

PARENT = "mlflow.parentRunId"
"""The tag by which clients nest runs."""


class CodePage(Record, frozen=True):
    """What a run was made of, as text.

    Attributes:
        diff: what was not committed.
        lock: the packages, as a requirements file.
        environment: Python, every package with its content, and the machine; None when its client told none.
    """

    diff: str
    lock: str
    environment: Environment | None


class RunPage(Record, frozen=True):
    """One run.

    Attributes:
        run: the run.
        tab: which part of it is shown.
        sealed: number of the event that holds its digest; None while there is none.
        metrics: this page's, without their curves.
        fitting: metrics that fit what was looked for.
        counts: how many metrics, system metrics, files, child runs and traces it has.
        charts: metrics whose curves stand on this tab.
        smaller: of the metrics shown, those that are better when smaller.
        metric, offset, limit: what was looked for, and which of it is shown.
        parent: the run it was started by, or empty.
        versions: refs of the model versions that came of it.
        datasets: what it read, as its client described it.
        children: newest first; only on their tab.
        traces: newest first; only on their tab.
        files: only on their tab.
        code: only on its tab.
        problems: what could not be read.
    """

    run: Run
    tab: str
    sealed: int | None
    metrics: tuple[Summary, ...]
    fitting: int
    counts: dict[str, int]
    charts: tuple[str, ...]
    smaller: tuple[str, ...]
    metric: str
    offset: int
    limit: int
    parent: str
    versions: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    children: tuple[Run, ...]
    traces: tuple[Trace, ...]
    files: Folder | None
    code: CodePage | None
    problems: tuple[dict[str, str], ...]


def run(project: Project, *, run: Id, tab: Tab = "", metric: Text = "", path: Text = "", offset: Offset = 0) -> RunPage:
    """One run, by its id or the beginning of it.

    Args:
        run: its id.
        tab: which part of it: `charts`, `system`, `files`, `code`, `runs`, `traces`.
        metric: only metrics with this in their name.
        path: of a file or folder.
        offset: so many metrics come before.
    Raises:
        NoSuchRun: there is none, or more than one begins so.
    """
    found, problems = tracking.run(project, run), list[dict[str, str]]()
    every = tracking.summaries(project, found.id)
    wanted = [one for one in every if one.key.startswith(SYSTEM) == (tab == "system")]
    fitting = [one for one in wanted if metric.lower() in one.key.lower()]
    limit = CHARTS if tab in ("charts", "system") else LINES
    made = project.ledger.edges_of([f"run/{found.id}"], upstream=False)
    counts = _counts(project, found, every)
    return RunPage(
        run=found,
        tab=tab,
        sealed=store.sealing_event(project, found.id),
        metrics=tuple(fitting[offset : offset + limit]),
        fitting=len(fitting),
        counts=counts,
        charts=_charts(tab, fitting, offset),
        smaller=tuple(one.key for one in fitting[offset : offset + limit] if smaller_is_better(one.key)),
        metric=metric,
        offset=offset,
        limit=limit,
        parent=found.tags.get(PARENT, ""),
        versions=tuple(edge.target for edge in made if edge.target.startswith("model/")),
        datasets=found.datasets,
        children=_children(project, found) if tab == "runs" else (),
        traces=_traces(project, found) if tab == "traces" else (),
        files=attempt(problems, lambda: folder(project, f"run/{found.id}", path)) if tab == "files" else None,
        code=_code(project, found, problems) if tab == "code" else None,
        problems=tuple(problems),
    )


def _counts(project: Project, found: Run, every: Sequence[Summary]) -> dict[str, int]:
    system = sum(one.key.startswith(SYSTEM) for one in every)
    return {
        "metrics": len(every) - system,
        "system": system,
        "files": len(found.artifacts),
        "runs": tracking.count_runs(project, [found.experiment_id], filter=_childhood(found)),
        "traces": tracing.count_traces(project, [found.experiment_id], filter=f"trace.run_id = '{found.id}'"),
    }


def _charts(tab: str, fitting: Sequence[Summary], offset: int) -> tuple[str, ...]:
    """On the first tab those with a curve; on a tab of charts all, page by page."""
    if tab in ("charts", "system"):
        return tuple(one.key for one in fitting[offset : offset + CHARTS])
    if tab:
        return ()
    moved = [one.key for one in fitting if one.least != one.greatest]
    return tuple(sorted(moved, key=leading)[:ON_TOP])


def _childhood(found: Run) -> str:
    return f"tags.`{PARENT}` = '{found.id}'"


def _children(project: Project, found: Run) -> tuple[Run, ...]:
    page = tracking.search_runs(project, [found.experiment_id], filter=_childhood(found), limit=SHOWN, columns=())
    return page.items


def _traces(project: Project, found: Run) -> tuple[Trace, ...]:
    page = tracing.search_traces(project, [found.experiment_id], filter=f"trace.run_id = '{found.id}'", limit=SHOWN)
    return page.items


def _code(project: Project, found: Run, problems: list[dict[str, str]]) -> CodePage:
    def text(digest: str) -> str:
        return (attempt(problems, lambda: _text(project, digest)) or "") if digest else ""

    def environment() -> Environment:
        return decode(project.blobs.get(found.environment), Environment, what="environment")

    told = attempt(problems, environment) if found.environment else None
    return CodePage(diff=text(found.code_diff), lock=text(found.lock), environment=told)


def _text(project: Project, digest: str) -> str:
    whole = project.blobs.get(digest).decode("utf-8", errors="replace")
    return whole if len(whole) <= MOST_CODE else f"{whole[:MOST_CODE]}\n…"
