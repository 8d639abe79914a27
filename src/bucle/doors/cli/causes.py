"""`bucle model compare` and `bucle monitor compare`: why is it worse than it was?"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import instant
from bucle.doors.cli.references import version_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.loop import Cause, Contribution, Policy, VersionDifference

__all__ = ["COMPARE_VERSIONS", "COMPARE_WINDOWS"]

LOSSES = ("log_loss", "brier", "accuracy")
MOST = 12
"""So many slices are shown, those that hold most of the change."""


def _common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--loss", choices=LOSSES, default="log_loss",
        help="what is parted into slices (default: log_loss); AUC is no mean over rows and cannot be",
    )  # fmt: skip
    parser.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="part rows by it (default: every column that does)"
    )


def _versions_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("before", help="e.g. tumours@1")
    parser.add_argument("after", help="e.g. tumours@2")
    parser.add_argument(
        "--on", default="", metavar="VERSION", help="whose held-out rows both are put to (default: the second's)"
    )
    parser.add_argument("--code", action="store_true", help="show the source that differs as well")
    _common(parser)


def _versions(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop

    with terminal.project() as project:
        before, after = version_of(project, options.before), version_of(project, options.after)
        on = version_of(project, options.on) if options.on else None
        found = loop.compare_versions(project, before, after, loss=options.loss, on=on, columns=options.by)
    terminal.show(found, told=_told(found))
    _tell_metrics(found.metrics, terminal)
    _tell_slices(found.slices, found.change, terminal)
    terminal.tell_table(_recipe(found), ("step", "part", "name", "before", "after", "effect"), title="what differs")
    _tell_causes(found.causes, terminal)
    for name, text in found.recipe.code.items() if options.code else ():
        terminal.tell(f"\n{name}\n{text}")
    terminal.next(f"bucle model show {found.after.removeprefix('model/')}")


def _told(found: VersionDifference) -> dict[str, Any]:
    told: dict[str, Any] = {"before": found.before, "after": found.after}
    if found.unjudged:
        return {**told, "not on the same rows": found.unjudged, "why": found.attribution}
    rows = f"{found.rows} that {found.rows_of} held out"
    changed = f"{found.change:+.4g} (standard error {found.error:.2g})"
    return {**told, "rows": rows, f"{found.loss} changed by": changed, "why": found.attribution}


def _recipe(found: VersionDifference) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in found.recipe.steps:
        effect = "gave other bytes" if step.outputs_differ else "none: gave the same bytes"
        for change in step.changes:
            is_code = change.part == "code"
            sides = ("", "") if is_code else (change.before, change.after)
            rows.append({"step": step.step, "part": change.part, "name": change.name, "before": sides[0],
                         "after": sides[1], "effect": effect})  # fmt: skip
    for one in found.recipe.tables:
        rows.append({"step": "", "part": "table", "name": one.table, "before": f"{one.rows_before} rows",
                     "after": f"{one.rows_after} rows", "effect": one.change})  # fmt: skip
    return rows


def _windows_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="MODEL", help="the model, or its endpoint")
    parser.add_argument(
        "--window", type=_window, action="append", default=[], metavar="SINCE..UNTIL",
        help="twice: before and after, e.g. 2013-03-01..2013-04-01 (default: the two newest that were watched)",
    )  # fmt: skip
    _common(parser)


def _window(text: str) -> tuple[datetime, datetime]:
    """`2013-03-01..2013-04-01` as two instants."""
    since, dots, until = text.partition("..")
    if not dots or not since or not until:
        raise ArgumentTypeError(f"{text!r} is no window; write 2013-03-01..2013-04-01")
    found = instant(since), instant(until)
    if found[0] >= found[1]:
        raise ArgumentTypeError(f"{text!r} ends before it begins")
    return found


def _windows(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop

    with terminal.project() as project:
        policy = _policy(project, options.name)
        first, second = (loop.Stretch(*one) for one in _chosen(project, policy, options.window))
        found = loop.compare_stretches(project, policy, first, second, loss=options.loss, columns=options.by)
    told = {
        "endpoint": found.endpoint,
        "before": _stretch(found.first, found.rows[0]),
        "after": _stretch(found.second, found.rows[1]),
        "versions": "; ".join(f"{number}: {old} -> {new}" for number, (old, new) in found.versions.items()),
        f"{found.loss} changed by": f"{found.change:+.4g} (standard error {found.error:.2g})",
        "why": found.attribution,
    }
    terminal.show(found, told=told)
    _tell_metrics(found.metrics, terminal)
    _tell_slices(found.slices, found.change, terminal)
    columns = ("feature", "psi", "drifted", "before", "after", "mean_before", "mean_after")
    terminal.tell_table(found.shifts[:MOST], columns, title="what moved, and how far each was from training")
    _tell_causes(found.causes, terminal)
    terminal.next(f"bucle monitor show {found.endpoint}")


def _stretch(given: tuple[datetime, datetime], rows: int) -> str:
    return f"{given[0].isoformat()} to {given[1].isoformat()}, {rows} answers with a label"


def _policy(project: Project, name: str) -> Policy:
    """The policy of a model, or of the model that an endpoint serves. Raises: NoSuchLoop."""
    from bucle import loop

    known = {model: loop.policy_of(project, model) for model in project.config.names("loop")}
    served = next((policy for policy in known.values() if policy.endpoint == name), None)
    return known.get(name) or served or loop.policy_of(project, name)


def _chosen(
    project: Project, policy: Policy, given: Sequence[tuple[datetime, datetime]]
) -> Sequence[tuple[datetime, datetime]]:
    """The two windows named, or the two newest that were watched. Raises: BadUsage."""
    from bucle.doors.cli.errors import BadUsage
    from bucle.line import monitoring

    if len(given) == 2:
        return given
    if not given:
        known = sorted({(one.since, one.until) for one in monitoring.windows(project, policy.endpoint)})
        if len(known) >= 2:
            return known[-2:]
    raise BadUsage(
        f"{len(given)} windows are named, and fewer than two were watched." if not given else "Two windows are wanted.",
        why="One stretch of time is compared with another.",
        fix=f"bucle monitor compare {policy.model} --window 2013-03-01..2013-04-01 --window 2013-04-01..2013-05-01",
    )


def _tell_metrics(metrics: Mapping[str, tuple[float, float]], terminal: Terminal) -> None:
    rows = [{"metric": name, "before": pair[0], "after": pair[1]} for name, pair in metrics.items()]
    terminal.tell_table(rows, title="quality")


def _tell_slices(slices: Mapping[str, Sequence[Contribution]], change: float | None, terminal: Terminal) -> None:
    """The slices that hold more, or less, of the change than their share of the rows, the farthest first."""

    def beyond(part: Contribution) -> float:
        return abs(part.change - (change or 0.0) * (part.share_before + part.share_after) / 2)

    parts = sorted((part for found in slices.values() for part in found), key=lambda part: -beyond(part))
    columns = ("slice", "rows_before", "rows_after", "before", "after", "mix", "within", "change")
    terminal.tell_table(parts[:MOST], columns, title="where it changed most for its size; --json has every slice")


def _tell_causes(causes: Sequence[Cause], terminal: Terminal) -> None:
    rows = [
        {"rank": one.rank, "cause": one.kind, "what": one.what, "evidence": "; ".join(one.evidence)} for one in causes
    ]
    terminal.tell_table(rows, title="what may have caused it")


COMPARE_VERSIONS = Verb(
    "compare", "why a version does otherwise than another: slices, data, code, packages", _versions,
    _versions_arguments, "bucle model compare tumours@1 tumours@2",
)  # fmt: skip
COMPARE_WINDOWS = Verb(
    "compare", "why answers were worse in one window than in another", _windows, _windows_arguments,
    "bucle monitor compare tumours --window 2013-03-01..2013-04-01 --window 2013-04-01..2013-05-01",
)  # fmt: skip
