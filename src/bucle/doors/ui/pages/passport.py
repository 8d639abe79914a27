"""`/models/{model}/{version}`: may I trust this one, and where does it come from?"""

from __future__ import annotations

from typing import Any

from bucle.doors.ui.pages.models import ModelName
from bucle.doors.ui.problems import attempt
from bucle.ground import governance
from bucle.ground.core import Record
from bucle.ground.ledger import Edge
from bucle.ground.project import Project
from bucle.line import deploy, gates, pipelines, registry, tracking
from bucle.line.gates import Verdict
from bucle.line.registry import Change, ModelVersion, Package, Reference
from bucle.line.tracking import Run
from bucle.loop import Lack, Policy, Promotion, guard_of, lacks, promotions

__all__ = ["Passport", "Place", "passport"]


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
        owner: who answers for its model.
        package: what is served; None when it is of another kind, or its manifest is gone.
        reference: what it stands for; None when its bytes are here.
        files: path -> digest of all it consists of.
        run: the run that made it, if it is on record.
        execution: the pipeline execution that made it, if it is on record.
        verdicts: judgements on it, newest first.
        approvals: each yes to exactly these bytes.
        policy: what guards its model; None when nothing does.
        lacks: what it would need before it may be promoted.
        promotions: who asked for it to be promoted, and to what; not fulfilled yet.
        serves: where it answers now.
        rollouts: its ways into traffic, newest first.
        changes: what was changed about it, newest first.
        edges: what it directly came from and what came of it.
        neighbours: numbers of the version before and after it.
        reproduce: the commands that tell how it was made and make it again; empty where nothing is known to do so.
        problems: what could not be read.
    """

    version: ModelVersion
    owner: str
    package: Package | None
    reference: Reference | None
    files: dict[str, str]
    run: Run | None
    execution: pipelines.Execution | None
    verdicts: tuple[Verdict, ...]
    approvals: tuple[governance.Approval, ...]
    policy: Policy | None
    lacks: tuple[Lack, ...]
    promotions: tuple[Promotion, ...]
    serves: tuple[Place, ...]
    rollouts: tuple[deploy.Rollout, ...]
    changes: tuple[Change, ...]
    edges: tuple[Edge, ...]
    neighbours: tuple[int | None, int | None]
    reproduce: str
    problems: tuple[dict[str, str], ...]


def passport(project: Project, *, model: ModelName, version: ModelName) -> Passport:
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
    ledger, policy = project.ledger, attempt(problems, lambda: guard_of(project, model))
    return Passport(
        version=found,
        owner=registry.model(project, model).owner,
        **_content(project, found, problems),
        run=attempt(problems, lambda: tracking.run(project, found.run)) if found.run else None,
        execution=attempt(problems, lambda: pipelines.execution(project, found.execution)) if found.execution else None,
        verdicts=tuple(gates.verdicts(project, ref)[::-1]),
        approvals=tuple(governance.approvals(project, ref, digest=found.digest)),
        policy=policy,
        lacks=lacks(project, policy, found) if policy is not None else (),
        promotions=tuple(one for one in promotions(project, model) if one.version == found.version),
        serves=tuple(_places(project, found)),
        rollouts=tuple(
            one for one in deploy.rollouts(project)[::-1] if (one.model, one.candidate) == (found.model, found.version)
        ),
        changes=tuple(_changes(project, found)),
        edges=(*ledger.edges_of([ref], upstream=True), *ledger.edges_of([ref], upstream=False)),
        neighbours=_neighbours(project, found),
        reproduce=f"bucle why {found.model}@{found.version}\nbucle reproduce {found.model}@{found.version}"
        if found.execution
        else "",
        problems=tuple(problems),
    )


def _content(project: Project, found: ModelVersion, problems: list[dict[str, str]]) -> dict[str, Any]:
    """What the version is, by its kind."""
    is_package, is_reference = found.kind == "package", found.kind == "reference"
    files = attempt(problems, lambda: registry.files_of(project, found))
    return {
        "package": attempt(problems, lambda: registry.package_of(project, found)) if is_package and files else None,
        "reference": attempt(problems, lambda: registry.reference(project, found)) if is_reference else None,
        "files": files or {},
    }


def _changes(project: Project, found: ModelVersion) -> list[Change]:
    """Changes of this version, newest first."""
    every = registry.changes(project, found.model)
    return [one for one in every[::-1] if one.version == found.version]


def _neighbours(project: Project, found: ModelVersion) -> tuple[int | None, int | None]:
    numbers = [one.version for one in registry.versions(project, found.model)]
    place = numbers.index(found.version)
    before = numbers[place - 1] if place else None
    return before, numbers[place + 1] if place + 1 < len(numbers) else None


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
