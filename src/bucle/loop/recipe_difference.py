"""Recipe difference: how what two versions were made of differs, step by step, and which differences had any effect.

A step's outputs have digests. Where two runs of a step gave the same bytes, whatever differs between them had no
effect; so what differs is a suspect only in a step whose outputs differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from bucle.ground.core import Environment, NotFound, Record, decode, make_ref
from bucle.ground.project import Project
from bucle.line import data, pipelines, tracking
from bucle.line.data import TableDiff
from bucle.line.pipelines import Change, StepRun
from bucle.line.registry import ModelVersion

__all__ = ["CauseKind", "RecipeDifference", "StepDifference", "Suspect", "recipe_difference", "suspects_of"]

CauseKind = Literal["data", "feature", "code", "params", "environment", "seed"]

_ORDER: tuple[CauseKind, ...] = ("code", "feature", "params", "environment", "data", "seed")
"""Suspects in the order in which they are told."""

_DATA_PARAMS = ("commit", "until")
"""The parameters by which a pipeline is told what data to read."""


class StepDifference(Record, frozen=True):
    """How one step of two versions differs.

    Attributes:
        step: its name.
        changes: code, parameters and environment that differ; inputs that differ follow from the steps before.
        inputs_differ: whether it got other inputs.
        outputs_differ: whether it gave other bytes; what differs in a step that gave the same had no effect.
        only: `before` or `after` when the other version has no such step, else empty.
    """

    step: str
    changes: tuple[Change, ...]
    inputs_differ: bool
    outputs_differ: bool
    only: Literal["", "before", "after"] = ""


class RecipeDifference(Record, frozen=True):
    """How what two versions were made of differs.

    Attributes:
        steps: the steps that differ, in order; empty when none does, or none is on record.
        tables: the tables they read that hold something else.
        features_added, features_removed: pinned feature views, `name@digest`.
        code: `file:function` -> unified diff of its source.
        is_traced: whether the steps of both are on record; without them runs are compared, and nothing is acquitted.
    """

    steps: tuple[StepDifference, ...]
    tables: tuple[TableDiff, ...]
    features_added: tuple[str, ...]
    features_removed: tuple[str, ...]
    code: dict[str, str]
    is_traced: bool


class Suspect(NamedTuple):
    """A part of the recipe that differs and that may be the cause.

    Attributes:
        kind: which part.
        step: the first step in which it differs and whose outputs differ; empty without steps.
        evidence: what differs, a line each.
    """

    kind: CauseKind
    step: str
    evidence: tuple[str, ...]


def recipe_difference(
    project: Project, before: ModelVersion, after: ModelVersion, pins: tuple[tuple[str, ...], tuple[str, ...]]
) -> RecipeDifference:
    """How what two versions were made of differs.

    Args:
        pins: the feature views that the packages of both pin.
    Raises:
        BlobMissing: the source or the environment of a step was removed.
    """
    sides = [_steps(project, one) for one in (before, after)]
    is_traced = bool(sides[0]) and bool(sides[1])
    steps = list(_compared(project, *sides)) if is_traced else list(_of_runs(project, before, after))
    changed = [change for one in steps for change in one.changes if change.part == "code"]
    return RecipeDifference(
        steps=tuple(steps),
        tables=tuple(_tables(project, before, after, [step for side in sides for step in side])),
        features_added=tuple(pin for pin in pins[1] if pin not in pins[0]),
        features_removed=tuple(pin for pin in pins[0] if pin not in pins[1]),
        code={change.name: _unified(change) for change in changed},
        is_traced=is_traced,
    )


def suspects_of(found: RecipeDifference) -> tuple[Suspect, ...]:
    """What differs and may be the cause: what somebody changed by hand first, then data, which differ at each training.

    What differs only in steps that gave the same bytes is acquitted. So are commits whose tables, as far as they were
    read, hold the same rows.
    """
    views = {pin.partition("@")[0] for pin in (*found.features_added, *found.features_removed)}
    suspects = dict[CauseKind, Suspect]()
    for step in found.steps:
        if not step.outputs_differ:
            continue
        for kind, line in _lines(step, views):
            if kind == "data" and not found.tables and found.is_traced and line.startswith("commit "):
                continue
            known = suspects.get(kind) or Suspect(kind, step.step, ())
            suspects[kind] = known._replace(evidence=tuple(dict.fromkeys((*known.evidence, line))))
    if "data" in suspects:
        told = tuple(_table_line(one) for one in found.tables)
        suspects["data"] = suspects["data"]._replace(evidence=(*told, *suspects["data"].evidence))
    return tuple(sorted(suspects.values(), key=lambda one: _ORDER.index(one.kind)))


def _steps(project: Project, version: ModelVersion) -> list[StepRun]:
    return pipelines.step_runs(project, version.execution) if version.execution else []


def _compared(project: Project, before: list[StepRun], after: list[StepRun]) -> Iterator[StepDifference]:
    """Steps are paired by name, and among equal names by place."""
    left, right = _named(before), _named(after)
    for name in dict.fromkeys((*left, *right)):
        old, new = left.get(name), right.get(name)
        if old is None or new is None:
            only: Literal["before", "after"] = "after" if old is None else "before"
            yield StepDifference(step=name, changes=(), inputs_differ=True, outputs_differ=True, only=only)
        elif old.key != new.key:
            changes = pipelines.changes(project, old, new)
            yield StepDifference(
                step=name,
                changes=tuple(change for change in changes if change.part != "input"),
                inputs_differ=old.inputs != new.inputs,
                outputs_differ=old.outputs != new.outputs,
            )


def _named(steps: Iterable[StepRun]) -> dict[str, StepRun]:
    found = dict[str, StepRun]()
    for step in steps:
        name, number = step.step, 2
        while name in found:
            name, number = f"{step.step} {number}", number + 1
        found[name] = step
    return found


def _of_runs(project: Project, before: ModelVersion, after: ModelVersion) -> Iterator[StepDifference]:
    """What the tracked runs of both say, where their steps are not on record."""
    old, new = _run(project, before), _run(project, after)
    if old is None or new is None:
        return
    changes = [*_texts("param", old.params, new.params), *_texts("code", {"git": old.code_commit + old.code_diff},
               {"git": new.code_commit + new.code_diff})]  # fmt: skip
    if old.seed != new.seed:
        changes += _texts("param", {"seed": str(old.seed)}, {"seed": str(new.seed)})
    if old.inputs != new.inputs:
        changes += _texts("param", {"commit": " ".join(old.inputs)}, {"commit": " ".join(new.inputs)})
    if old.environment and new.environment and old.environment != new.environment:
        left, right = (decode(project.blobs.get(run.environment), Environment) for run in (old, new))
        changes += _texts(
            "environment", {"python": left.python, **left.packages}, {"python": right.python, **right.packages}
        )
    if changes:
        yield StepDifference(step="", changes=tuple(changes), inputs_differ=True, outputs_differ=True)


def _run(project: Project, version: ModelVersion) -> tracking.Run | None:
    try:
        return tracking.run(project, version.run) if version.run else None
    except NotFound:
        return None


def _texts(
    part: Literal["code", "param", "environment"], before: dict[str, str], after: dict[str, str]
) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if before.get(name, "") != after.get(name, ""):
            yield Change(part=part, name=name, before=before.get(name, ""), after=after.get(name, ""))


def _tables(project: Project, before: ModelVersion, after: ModelVersion, steps: list[StepRun]) -> Iterator[TableDiff]:
    """How the tables that the steps read differ between the two commits; all that differ where nothing tells."""
    if not before.commit or not after.commit or before.commit == after.commit:
        return
    readers = {make_ref("step", step.key) for step in steps}
    read = {use.table for use in data.uses(project) if use.reader in readers}
    try:
        found = data.diff(project, before.commit, after.commit)
    except NotFound:
        return
    yield from (one for one in found if not read or one.table in read)


def _unified(change: Change) -> str:
    lines = difflib.unified_diff(change.before.splitlines(), change.after.splitlines(), "before", "after", lineterm="")
    return "\n".join(lines)


def _lines(step: StepDifference, views: set[str]) -> Iterator[tuple[CauseKind, str]]:
    """What differs in a step, each with the part of the recipe it belongs to."""
    if step.only:
        yield "code", f"step {step.step} is in the version {step.only} only"
    for change in step.changes:
        if change.part == "code":
            is_view = change.name.rpartition(":")[2] in views
            yield ("feature" if is_view else "code"), f"{change.name} {_verb(change)}"
        elif change.part == "environment":
            yield "environment", f"{change.name} {change.before or 'absent'} -> {change.after or 'absent'}"
        elif change.name in _DATA_PARAMS:
            yield "data", f"{change.name} {_short(change.before)} -> {_short(change.after)}"
        else:
            kind: CauseKind = "seed" if change.name == "seed" else "params"
            yield kind, f"{change.name} {change.before or 'absent'} -> {change.after or 'absent'}"


def _verb(change: Change) -> str:
    return "is new" if not change.before else "is gone" if not change.after else "is other code"


def _short(text: str) -> str:
    bare = text.strip('"')
    return bare if len(bare) <= 32 else bare[:12]


def _table_line(one: TableDiff) -> str:
    return f"table {one.table} {one.change}: {one.rows_before} -> {one.rows_after} rows"
