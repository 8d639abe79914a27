"""Recipe: how a model, a run or an execution was made, from the data on, in order; and that it comes out so again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from bucle.ground import governance
from bucle.ground.core import BucleError, Environment, NotFound, Record, decode, environment, make_ref, short, split_ref
from bucle.ground.governance import Approval
from bucle.ground.ledger import Edge
from bucle.ground.project import Project
from bucle.ground.store import BlobMissing
from bucle.line import data, environments, gates, pipelines, registry, tracking
from bucle.line.data import Commit
from bucle.line.gates import Verdict
from bucle.line.pipelines import Execution, Executor, Reproduction, StepRun, Tolerance
from bucle.line.registry import Change, ModelVersion, Package
from bucle.line.tracking import Run

__all__ = ["Ingredient", "Rebuilt", "Recipe", "rebuild", "recipe_of_execution", "recipe_of_run", "recipe_of_version"]

T = TypeVar("T")

DONE = ("succeeded", "cached")
"""How a step stands that gave its outputs; the others cannot be compared with anything."""

Kind = Literal["data", "environment", "code", "execution", "step", "run", "package", "gate", "approval", "change"]


class Ingredient(Record, frozen=True):
    """One line of a recipe.

    Attributes:
        kind: what it is.
        name: which.
        digest: the name of its content; empty where it has none.
        detail: what it was done with: parameters, seed, rows, verdict.
        command: what shows it, or does it again.
    """

    kind: Kind
    name: str
    digest: str
    detail: dict[str, Any]
    command: str = ""


class Recipe(Record, frozen=True):
    """How something was made.

    Attributes:
        ref: what was made: `model/flights@1`, `run/…`, `execution/…`.
        ingredients: what it took, in the order it was taken, then what was said of it.
        missing: what is not on record, in words; with any of these nobody can promise the same result again.
        version: the model version; None when another thing was asked for.
        package: what is served of it.
        execution: the pipeline's execution that made it.
        steps: its steps, in order.
        run: the tracked run.
        commit: the data.
        environments: what the steps, or the run, ran in: digest of the blob -> environment.
        verdicts, approvals, changes: what gates and people said of the version, and what became of it.
        lineage: the edges from there to the sources.
    """

    ref: str
    ingredients: tuple[Ingredient, ...]
    missing: tuple[str, ...]
    version: ModelVersion | None
    package: Package | None
    execution: Execution | None
    steps: tuple[StepRun, ...]
    run: Run | None
    commit: Commit | None
    environments: dict[str, Environment]
    verdicts: tuple[Verdict, ...]
    approvals: tuple[Approval, ...]
    changes: tuple[Change, ...]
    lineage: tuple[Edge, ...]


class Rebuilt(Record, frozen=True):
    """What making it all again gave.

    Attributes:
        ref: what was made again.
        outcome: `exact` when every step gave the same bytes; `close` within the tolerance; `different`.
        steps: each step, in order.
        first_different: the step run where it first came out otherwise; empty when it was exact.
        reasons: what may have caused that; empty when it was exact.
    """

    ref: str
    outcome: Literal["exact", "close", "different"]
    steps: tuple[Reproduction, ...]
    first_different: str
    reasons: tuple[str, ...]


def recipe_of_version(project: Project, version: ModelVersion) -> Recipe:
    """How a version was made.

    Raises:
        BlobMissing: its package is gone.
    """
    run = _optional(lambda: tracking.run(project, version.run)) if version.run else None
    execution = _optional(lambda: pipelines.execution(project, version.execution)) if version.execution else None
    return _recipe(project, version.ref, version=version, run=run, execution=execution, commit=version.commit)


def recipe_of_run(project: Project, run: Run) -> Recipe:
    """How a tracked run was made: by itself, or as part of a pipeline."""
    return _recipe(project, make_ref("run", run.id), run=run, execution=_around(project, run))


def recipe_of_execution(project: Project, execution: Execution) -> Recipe:
    """How an execution's results were made. Its data is its parameter `commit`, its run the `run` it returned."""
    commit, result = execution.params.get("commit"), execution.result
    told = result.get("run") if isinstance(result, dict) else None
    return _recipe(
        project,
        make_ref("execution", execution.id),
        run=_optional(lambda: tracking.run(project, told)) if isinstance(told, str) else None,
        execution=execution,
        commit=commit if isinstance(commit, str) else "",
    )


def rebuild(
    project: Project, recipe: Recipe, *, executor: Executor | None = None, tolerance: Tolerance | None = None
) -> Rebuilt:
    """Compute every step that ended well again, from its recorded inputs and with no cache, and compare.

    Each step begins with what is on record, so the first that differs is where the difference comes from.

    Args:
        executor: where steps run; local processes of this Python unless given.
        tolerance: how far numbers may be off to count as close.
    Raises:
        NotFound: no pipeline made it, so there is nothing that could be run.
        CodeChanged: the project's code is not the code it was made with.
        StepFailed: a step fails now.
        BlobMissing: an input is gone.
    Cost: as the first time.
    """
    done = [run for run in recipe.steps if run.status in DONE]
    if not done:
        raise NotFound(
            f"{recipe.ref} was made by no pipeline that is on record here.",
            why="Only steps can be computed again: their inputs, parameters and code are kept.",
            fix="Have a pipeline make it: bucle run PIPELINE",
            at=recipe.ref,
        )
    steps = tuple(pipelines.reproduce(project, run, executor=executor, tolerance=tolerance) for run in done)
    differing = [one for one in steps if one.outcome != "exact"]
    outcome: Literal["exact", "close", "different"] = "exact"
    if differing:
        outcome = "different" if any(one.outcome == "different" for one in differing) else "close"
    rebuilt = Rebuilt(
        ref=recipe.ref,
        outcome=outcome,
        steps=steps,
        first_different=differing[0].step_run if differing else "",
        reasons=tuple(_reasons(recipe, differing, executor)) if differing else (),
    )
    told = {"outcome": outcome, "first_different": rebuilt.first_different, "reasons": rebuilt.reasons}
    project.ledger.record("loop.rebuilt", subject=recipe.ref, actor=project.actor, data=told)
    return rebuilt


def _reasons(recipe: Recipe, differing: Sequence[Reproduction], executor: Executor | None) -> Iterator[str]:
    """What may have caused a difference, the likeliest first."""
    now = executor.environment if executor else environment()
    seen = dict.fromkeys(
        (one.part, one.name, one.left, one.right)
        for then in recipe.environments.values()
        for one in environments.diff(then, now)
    )
    for part, name, left, right in seen:
        yield f"{part} {name} was {left or 'absent'}, and is {right or 'absent'}"
    seeded = {run.id for run in recipe.steps if run.seed is not None}
    unseeded = [one.step for one in differing if one.step_run not in seeded]
    if unseeded:
        yield f"without a parameter `seed`, what draws from the system's own chance differs: {', '.join(unseeded)}"
    yield "what a step reads besides its inputs is not on record: the clock, the network, files, the number of threads"


def _recipe(
    project: Project,
    ref: str,
    *,
    version: ModelVersion | None = None,
    run: Run | None = None,
    execution: Execution | None = None,
    commit: str = "",
) -> Recipe:
    steps = tuple(pipelines.step_runs(project, execution.id)) if execution else ()
    package = registry.load_package(project, version.digest) if version and version.kind == "package" else None
    recipe = Recipe(
        ref=ref,
        ingredients=(),
        missing=(),
        version=version,
        package=package,
        execution=execution,
        steps=steps,
        run=run,
        commit=_commit(project, [commit, *_commits(run)]),
        environments=dict(_environments(project, steps, run)),
        verdicts=tuple(gates.verdicts(project, ref)) if version else (),
        approvals=tuple(governance.approvals(project, ref, digest=version.digest)) if version else (),
        changes=tuple(_changes(project, version)) if version else (),
        lineage=tuple(project.ledger.lineage(ref)),
    )
    return replace(recipe, ingredients=tuple(_ingredients(recipe)), missing=tuple(_missing(recipe)))


def _around(project: Project, run: Run) -> Execution | None:
    """The execution a run was tracked in; None when it was begun outside of any."""
    kind, name, _ = split_ref(run.within) if run.within else ("", "", None)
    if kind == "execution":
        return _optional(lambda: pipelines.execution(project, name))
    if kind == "step":
        computed = pipelines.computed(project, name)
        return pipelines.execution(project, computed[0].execution) if computed else None
    return None


def _optional(look: Callable[[], T]) -> T | None:
    """What a look finds; None when it is not on record any more."""
    try:
        return look()
    except (NotFound, BlobMissing):
        return None


def _commit(project: Project, ids: Iterable[str]) -> Commit | None:
    """The first of these that is on record. The name of a branch is no id: it may have moved since."""
    found = ((one, _optional(partial(data.resolve, project, one))) for one in ids if one)
    return next((commit for one, commit in found if commit is not None and commit.id.startswith(one)), None)


def _commits(run: Run | None) -> list[str]:
    refs = run.inputs if run else ()
    return [ref.removeprefix("commit/") for ref in refs if ref.startswith("commit/")]


def _environments(project: Project, steps: Iterable[StepRun], run: Run | None) -> Iterator[tuple[str, Environment]]:
    digests = [step.environment for step in steps] or ([run.environment] if run else [])
    for digest in dict.fromkeys(filter(None, digests)):
        try:
            yield digest, decode(project.blobs.get(digest), Environment, what="environment")
        except BucleError:
            continue


def _changes(project: Project, version: ModelVersion) -> Iterator[Change]:
    for one in registry.changes(project, version.model):
        if one.version == version.version and one.what.partition(" ")[0] in ("stage", "alias", "successor"):
            yield one


def _missing(recipe: Recipe) -> Iterator[str]:
    if recipe.commit is None:
        yield "data: no commit is named as what it was made of"
    if not recipe.environments:
        yield "environment: nothing is kept of Python and its packages"
    if not recipe.steps:
        yield "steps: no pipeline of this project made it, so it cannot be computed again"
    if recipe.run is not None and not recipe.run.code_commit:
        yield "code: the project was in no git repository; only the source of each step is kept"
    for run in recipe.steps:
        if run.status not in DONE:
            yield f"step {run.step}: it {run.status}"


def _ingredients(recipe: Recipe) -> Iterator[Ingredient]:
    """Every line of the recipe, in order."""
    yield from _of_data(recipe)
    yield from _of_environment(recipe)
    yield from _of_code(recipe)
    yield from _of_making(recipe)
    yield from _of_judging(recipe)


def _of_data(recipe: Recipe) -> Iterator[Ingredient]:
    commit = recipe.commit
    if commit is not None:
        tables = {name: f"{table.rows} rows {table.digest[:12]}" for name, table in sorted(commit.tables.items())}
        yield Ingredient(
            kind="data",
            name=f"commit/{commit.id[:12]}",
            digest=commit.id,
            detail={"message": commit.message, "at": commit.at, "tables": tables, "files": commit.files[:12]},
            command=f"bucle data log {commit.id[:12]}",
        )


def _of_environment(recipe: Recipe) -> Iterator[Ingredient]:
    for one in recipe.environments.values():
        machine = one.machine
        yield Ingredient(
            kind="environment",
            name=f"{one.implementation} {one.python} {one.system}",
            digest=one.digest,
            detail={
                "packages": len(one.packages),
                "os": machine.os if machine else "",
                "cpu": machine.cpu if machine else "",
            },
            command=f"bucle env build {_short_ref(recipe.ref)}",
        )


def _of_code(recipe: Recipe) -> Iterator[Ingredient]:
    run = recipe.run
    if run is not None and run.code_commit:
        yield Ingredient(
            kind="code",
            name=f"commit {run.code_commit[:12]}",
            digest=run.code_commit,
            detail={"uncommitted": run.code_diff[:12] or "nothing"},
            command=f"bucle runs code {run.id[:8]} FOLDER",
        )


def _of_making(recipe: Recipe) -> Iterator[Ingredient]:
    if recipe.execution is not None:
        made = recipe.execution
        yield Ingredient(
            kind="execution",
            name=made.pipeline,
            digest="",
            detail={"id": made.id, "params": made.params, "by": made.actor, "at": made.started_at},
            command=f"bucle run --show {made.id}",
        )
    yield from map(_of_step, recipe.steps)
    if recipe.run is not None:
        run = recipe.run
        yield Ingredient(
            kind="run",
            name=run.id,
            digest="",
            detail={"params": run.params, "metrics": run.metrics, "seed": run.seed, "by": run.actor},
            command=f"bucle runs show {run.id[:8]}",
        )
    if recipe.package is not None:
        package = recipe.package
        yield Ingredient(
            kind="package",
            name=_short_ref(recipe.ref),
            digest=package.digest,
            detail={"files": _shortened(package.files), "features": package.features, "runtime": package.runtime},
            command=f"bucle model show {_short_ref(recipe.ref)}",
        )


def _of_step(step: StepRun) -> Ingredient:
    return Ingredient(
        kind="step",
        name=step.step,
        digest=step.key,
        detail={
            "params": step.params,
            "seed": step.seed,
            "inputs": _shortened(step.inputs),
            "outputs": _shortened(step.outputs),
            "code": step.code[:12],
            "source": step.source,
            "status": step.status,
        },
        command=f"bucle run --code {step.id}",
    )


def _of_judging(recipe: Recipe) -> Iterator[Ingredient]:
    """What was said and done about a version, as it happened."""
    told = [(one.at, _of_verdict(one)) for one in recipe.verdicts]
    told += [(one.at, _of_approval(one)) for one in recipe.approvals]
    told += [(one.at, _of_change(one)) for one in recipe.changes]
    yield from (ingredient for _, ingredient in sorted(told, key=lambda pair: pair[0]))


def _of_verdict(one: Verdict) -> Ingredient:
    detail = {"passed": one.passed, "refused": [check.gate for check in one.refusals], "rows": one.rows, "at": one.at}
    return Ingredient(kind="gate", name=one.id, digest=one.evidence, detail=detail, command=f"bucle gate show {one.id}")


def _of_approval(one: Approval) -> Ingredient:
    detail = {"reason": one.reason, "at": one.at}
    return Ingredient(kind="approval", name=one.principal, digest=one.digest, detail=detail)


def _of_change(one: Change) -> Ingredient:
    detail = {"from": one.before, "to": one.after, "by": one.actor, "why": one.reason, "at": one.at}
    return Ingredient(kind="change", name=one.what, digest="", detail=detail)


def _shortened(digests: Mapping[str, str]) -> dict[str, str]:
    return {name: short(digest) for name, digest in digests.items()}


def _short_ref(ref: str) -> str:
    """A ref as a person writes it: `flights@1` for a version."""
    return ref.removeprefix("model/")
