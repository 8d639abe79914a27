"""Looking at steps: what ran, what it printed, what it gave, and why it had to be computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from bucle.ground.core import Environment, Record, decode, encode, short
from bucle.ground.project import Project
from bucle.line.pipelines.artifact import read_leaf
from bucle.line.pipelines.errors import NoSuchExecution, NotTyped
from bucle.line.pipelines.shape import shape_of
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.store import (
    find_computed,
    find_last_codes,
    find_previous,
    find_step_run,
    find_step_runs,
)

__all__ = [
    "Change",
    "Why",
    "changes",
    "computed",
    "last_codes",
    "log_of",
    "step_run",
    "step_runs",
    "value_of",
    "why",
]

T = TypeVar("T")


class Change(Record, frozen=True):
    """One part of a key that differs from another run's.

    Attributes:
        part: which kind of part.
        name: `file:function` of code, the parameter, or the package.
        before: what it was; a digest is cut short; empty when it was not there.
        after: what it is.
    """

    part: Literal["code", "input", "param", "environment"]
    name: str
    before: str
    after: str


class Why(Record, frozen=True):
    """Why a step was computed, or not.

    Attributes:
        step_run: which.
        status: what became of it.
        against: the run of the same step before it; empty when there was none.
        changes: how its key differs from that one's; empty when the keys are equal.
    """

    step_run: str
    status: str
    against: str
    changes: tuple[Change, ...]


def step_runs(project: Project, execution_id: str) -> list[StepRun]:
    """The steps of an execution in the order of its body."""
    return find_step_runs(project.database, execution_id)


def step_run(project: Project, id_: str) -> StepRun:
    """One step run.

    Raises:
        NoSuchExecution: there is none of this id.
    """
    found = find_step_run(project.database, id_)
    if found is None:
        raise NoSuchExecution(
            f"There is no step run {id_!r}.",
            why="A step run is called execution.position.",
            fix="List them: bucle run --show EXECUTION",
            at=id_,
        )
    return found


def computed(project: Project, key: str) -> list[StepRun]:
    """The newest step runs that really computed a key, the newest first; empty when none did."""
    return find_computed(project.database, key)[0]


def log_of(project: Project, run: StepRun | str) -> str:
    """What a step printed, its traceback included; empty when it was silent.

    Raises:
        NoSuchExecution: there is no such step run.
        BlobMissing: the log was removed.
    """
    found = step_run(project, run) if isinstance(run, str) else run
    return project.blobs.get(found.log).decode(errors="replace") if found.log else ""


def last_codes(project: Project) -> dict[str, str]:
    """`file:name` of each step that ever ran -> digest of the code that its last run had."""
    return find_last_codes(project.database)


def value_of(project: Project, digest: str, kind: type[T]) -> T:
    """An output by its digest.

    Args:
        kind: its annotation: pl.DataFrame, np.ndarray, bytes, Path, or whatever was kept as JSON.
    Raises:
        BlobMissing: it was removed.
        BlobCorrupt: it was damaged.
        ValueNotKept: it was kept as another type.
    """
    shape = shape_of(kind, "value_of")
    if shape.container != "one":
        raise NotTyped(
            f"{kind} is kept in several parts.", why="Each part has a digest of its own.", fix="Ask part by part."
        )
    value: T = read_leaf(project.blobs, shape.leaf(""), digest)
    return value


def why(project: Project, run: StepRun | str) -> Why:
    """Which parts of a step's key differ from the last run of the same step.

    Raises:
        NoSuchExecution: there is no such step run.
    """
    found = step_run(project, run) if isinstance(run, str) else run
    before = find_previous(project.database, found)
    if before is None:
        return Why(step_run=found.id, status=found.status, against="", changes=())
    return Why(step_run=found.id, status=found.status, against=before.id, changes=changes(project, before, found))


def changes(project: Project, before: StepRun, after: StepRun) -> tuple[Change, ...]:
    """How the keys of two step runs differ; nothing when they are equal. Code is told as its source.

    Raises:
        BlobMissing: the code or the environment of one was removed.
    """
    return (
        *_code_changes(project, before.code, after.code),
        *_changes("input", before.inputs, after.inputs),
        *_changes("param", _texts(before.params), _texts(after.params)),
        *_environment_changes(project, before.environment, after.environment),
    )


def _code_changes(project: Project, before: str, after: str) -> Iterator[Change]:
    if before != after:
        old, new = (decode(project.blobs.get(digest), dict[str, str], what="code") for digest in (before, after))
        yield from _changes("code", old, new)


def _environment_changes(project: Project, before: str, after: str) -> Iterator[Change]:
    if before != after:
        old, new = (decode(project.blobs.get(digest), Environment) for digest in (before, after))
        for name in ("python", "implementation", "system"):
            yield from _changes("environment", {name: getattr(old, name)}, {name: getattr(new, name)})
        yield from _changes("environment", old.packages, new.packages)
        both = old.contents.keys() & new.contents.keys()
        same = sorted(name for name in both if old.packages[name] == new.packages[name])
        builds = ({name: short(one.contents[name]) for name in same} for one in (old, new))
        yield from _changes("environment", *builds)


def _changes(
    part: Literal["code", "input", "param", "environment"], before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            shown = (short(old), short(new)) if part == "input" else (old, new)
            yield Change(part=part, name=name, before=shown[0], after=shown[1])


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: encode(value).decode() for name, value in params.items()}
