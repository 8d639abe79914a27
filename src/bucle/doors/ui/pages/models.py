"""`/models`: which version serves, what is coming, and may I trust it?"""

from __future__ import annotations

from bucle.doors.ui.parameters import Name
from bucle.doors.ui.problems import attempt
from bucle.ground import governance
from bucle.ground.core import Record, make_ref
from bucle.ground.ledger import Edge, Event
from bucle.ground.project import Project
from bucle.line import deploy, gates, pipelines, registry, tracking
from bucle.line.gates import Verdict
from bucle.line.registry import Model, ModelVersion, Package

__all__ = ["ModelPage", "ModelRow", "Models", "Passport", "Place", "model", "models", "passport"]


class ModelRow(Record, frozen=True):
    """A model at a glance.

    Attributes:
        model: with its aliases and stages.
        metric: the metric shown; empty when no version has one.
        values: of that metric, oldest version first.
        last: what happened to it last.
    """

    model: Model
    metric: str
    values: tuple[float | None, ...]
    last: Event | None


class Models(Record, frozen=True):
    """Every model.

    Attributes:
        models: by name.
    """

    models: tuple[ModelRow, ...]


class ModelPage(Record, frozen=True):
    """One model with all its versions.

    Attributes:
        model: its name.
        metrics: names of every metric a version has.
        versions: newest first.
        history: what happened, newest first.
    """

    model: str
    metrics: tuple[str, ...]
    versions: tuple[ModelVersion, ...]
    history: tuple[Event, ...]


class Place(Record, frozen=True):
    """Where a version answers.

    Attributes:
        endpoint: the endpoint.
        arm: `champion`, `canary` or `shadow`.
        share: of the traffic.
    """

    endpoint: str
    arm: str
    share: float


class Passport(Record, frozen=True):
    """All there is to say about one version.

    Attributes:
        version: the version.
        package: what is served; None when its manifest is gone.
        run: the run that made it, if it is on record.
        execution: the pipeline execution that made it, if it is on record.
        verdicts: judgements on it, newest first.
        approvals: each yes to exactly these bytes.
        serves: where it answers now.
        rollouts: its ways into traffic, newest first.
        history: what happened to it, newest first.
        edges: what it directly came from and what came of it.
        reproduce: the command that makes it again.
        problems: what could not be read.
    """

    version: ModelVersion
    package: Package | None
    run: tracking.Run | None
    execution: pipelines.Execution | None
    verdicts: tuple[Verdict, ...]
    approvals: tuple[governance.Approval, ...]
    serves: tuple[Place, ...]
    rollouts: tuple[deploy.Rollout, ...]
    history: tuple[Event, ...]
    edges: tuple[Edge, ...]
    reproduce: str
    problems: tuple[dict[str, str], ...]


def models(project: Project) -> Models:
    """Every model."""
    return Models(models=tuple(_row(project, one) for one in registry.models(project)))


def model(project: Project, *, model: Name) -> ModelPage:
    """One model.

    Raises:
        NoSuchModel: there is none of that name.
    """
    found = registry.versions(project, model)
    names = dict.fromkeys(name for one in found for name in one.metrics)
    return ModelPage(
        model=model,
        metrics=tuple(names),
        versions=tuple(found[::-1]),
        history=tuple(registry.history(project, model)[::-1]),
    )


def passport(project: Project, *, model: Name, version: Name) -> Passport:
    """One version, with where it came from and where it went.

    Args:
        model: the model.
        version: number, alias or `latest`.
    Raises:
        NoSuchModel: there is no such model.
        NoSuchVersion: it has no such version.
    """
    found = registry.version(project, model, version)
    ref, problems = found.ref, list[dict[str, str]]()
    history = project.ledger.events(subject=ref)[::-1]
    return Passport(
        version=found,
        package=attempt(problems, lambda: registry.load_package(project, found.digest)),
        run=attempt(problems, lambda: tracking.run(project, found.run)) if found.run else None,
        execution=attempt(problems, lambda: pipelines.execution(project, found.execution)) if found.execution else None,
        verdicts=tuple(gates.verdicts(project, ref)[::-1]),
        approvals=tuple(governance.approvals(project, ref, digest=found.digest)),
        serves=tuple(_places(project, found)),
        rollouts=tuple(
            one for one in deploy.rollouts(project)[::-1] if (one.model, one.candidate) == (found.model, found.version)
        ),
        history=tuple(history),
        edges=(*project.ledger.edges_of([ref], upstream=True), *project.ledger.edges_of([ref], upstream=False)),
        reproduce=f"bucle model reproduce {found.model}@{found.version}",
        problems=tuple(problems),
    )


def _row(project: Project, one: Model) -> ModelRow:
    found = registry.versions(project, one.name)
    names = [name for version in found for name in version.metrics]
    metric = next((name for name in ("auc", *names) if name in names), "")
    last = project.ledger.events(
        kinds=["registry.*", "deploy.*", "governance.*"],
        subject=make_ref("model", one.name, one.latest),
        limit=1,
        newest_first=True,
    )
    return ModelRow(
        model=one,
        metric=metric,
        values=tuple(version.metrics.get(metric) for version in found) if metric else (),
        last=last[0] if last else None,
    )


def _places(project: Project, version: ModelVersion) -> list[Place]:
    found = []
    for endpoint in deploy.endpoints(project):
        routes = deploy.routes(project, endpoint)
        for arm, name, share in (
            *((arm, arm.name, arm.share) for arm in routes.arms),
            *((arm, "shadow", 0.0) for arm in routes.shadows),
        ):
            if (arm.model, arm.version) == (version.model, version.version):
                found.append(Place(endpoint=endpoint, arm=name, share=share))
    return found
