"""The native API: each resource is a function that returns a room's own records.

The path, the parameters, their types and defaults, and what comes back are read from the function; so is the OpenAPI
document. To add a resource, write the function and name it in `RESOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bucle.doors.ui import VIEWS, Limit, Offset
from bucle.ground import governance
from bucle.ground.core import Record
from bucle.ground.ledger import Edge, Event, NoSuchEvent
from bucle.ground.project import Project
from bucle.line import data, deploy, gates, monitoring, pipelines, registry, tracking
from bucle.loop import Cycle, State, cycles, policy_of, read_state
from bucle.version import __version__

__all__ = ["API", "RESOURCES", "About", "Resource"]

API = "/api/v1"
"""Where the API begins."""


class About(Record, frozen=True):
    """What answers here.

    Attributes:
        project: its name.
        version: of Bucle.
        events: how many stand on the ledger.
        now: by the project's clock, ISO 8601.
    """

    project: str
    version: str
    events: int
    now: str


class Resource(NamedTuple):
    """One address of the API.

    Attributes:
        path: behind `/api/v1`.
        read: the project, and by keyword what the address says -> records.
    """

    path: str
    read: Callable[..., Any]


def about(project: Project) -> About:
    """What answers here."""
    return About(
        project=project.name,
        version=__version__,
        events=project.ledger.size(),
        now=project.clock.now().isoformat(),
    )


def events(
    project: Project, *, kind: str = "", subject: str = "", after: int = -1, limit: Limit = 100, newest: bool = False
) -> list[Event]:
    """Events of the ledger; `kind=data.*` means all of a room; go on with `after` the last `seq`."""
    found = project.ledger.events(
        kinds=[kind] if kind else [], subject=subject or None, after=after, limit=limit, newest_first=newest
    )
    return data.told_to_all(project, found)


def event(project: Project, *, seq: Offset) -> Event:
    """One event of the ledger."""
    found = project.ledger.events(after=seq - 1, limit=1)
    if not found or found[0].seq != seq:
        raise NoSuchEvent(
            f"There is no event {seq}.",
            why=f"The ledger has {project.ledger.size()}.",
            at="seq",
            fix="They are numbered from 0.",
        )
    return data.told_to_all(project, found)[0]


def edges(project: Project, *, of: str, upstream: bool = True, depth: Limit = 3) -> list[Edge]:
    """Lineage of a ref, nearest first."""
    return project.ledger.lineage(of, upstream=upstream, depth=min(depth, 50))


def branches(project: Project) -> list[data.Branch]:
    """Every branch of the data."""
    return data.branches(project)


def commits(project: Project, *, branch: str = "main", limit: Limit = 100) -> list[data.Commit]:
    """A branch's commits, newest first."""
    return data.log(project, branch, limit=limit)


def tables(project: Project, *, at: str = "main") -> list[data.Snapshot]:
    """Every table at a branch or commit."""
    known = data.log(project, at, limit=1)
    return [data.snapshot(project, name, at=known[0].id) for name in sorted(known[0].tables)] if known else []


def table(project: Project, *, name: str, at: str = "main") -> data.Snapshot:
    """One table at a branch or commit."""
    return data.snapshot(project, name, at=at)


def dataset(project: Project, *, name: str, at: str = "main") -> data.InForce:
    """What is known of a table, and what its zone adds."""
    data.snapshot(project, name, at=at)
    return data.in_force(project, name, at=at)


def health(project: Project, *, name: str, at: str = "main") -> data.Health:
    """How much a table holds, how good, how fresh and how full, now and after its last changes."""
    return data.health(project, name, at=at)


def uses(project: Project, *, table: str = "", limit: Limit = 100) -> list[data.Use]:
    """Who trained on tables and what for, newest first."""
    return data.uses(project, table or None, limit=limit)


def executions(project: Project, *, pipeline: str = "", limit: Limit = 100) -> list[pipelines.Execution]:
    """Executions, newest first."""
    return pipelines.executions(project, limit=limit, pipeline=pipeline or None)


def execution(project: Project, *, id: str) -> pipelines.Execution:  # noqa: A002  the address says whose id
    """One execution."""
    return pipelines.execution(project, id)


def steps(project: Project, *, id: str) -> list[pipelines.StepRun]:  # noqa: A002
    """The steps of an execution, in order."""
    return pipelines.step_runs(project, pipelines.execution(project, id).id)


def experiments(project: Project) -> list[tracking.Experiment]:
    """Every experiment."""
    return tracking.experiments(project)


def runs(project: Project, *, experiment: str = "", limit: Limit = 100) -> list[tracking.Run]:
    """Runs, newest first."""
    return tracking.runs(project, experiment or None, limit=limit)


def run(project: Project, *, id: str) -> tracking.Run:  # noqa: A002
    """One run, by its id or the beginning of it."""
    return tracking.run(project, id)


def metrics(project: Project, *, id: str, key: str = "") -> list[tracking.Metric]:  # noqa: A002
    """Every point a run has logged, by metric and step."""
    return tracking.metrics(project, id, key or None)


def models(project: Project) -> list[registry.Model]:
    """Every model."""
    return registry.models(project)


def versions(project: Project, *, model: str) -> list[registry.ModelVersion]:
    """A model's versions, oldest first."""
    return registry.versions(project, model)


def version(project: Project, *, model: str, version: str) -> registry.ModelVersion:
    """One version, by number, alias or `latest`."""
    return registry.version(project, model, version)


def package(project: Project, *, model: str, version: str) -> registry.Package:
    """What is served of a version."""
    return registry.load_package(project, registry.version(project, model, version).digest)


def approvals(project: Project, *, model: str, version: str) -> list[governance.Approval]:
    """Each yes to exactly the bytes of a version."""
    found = registry.version(project, model, version)
    return governance.approvals(project, found.ref, digest=found.digest)


def verdicts(project: Project, *, subject: str = "", limit: Limit = 100) -> list[gates.Verdict]:
    """Verdicts, oldest first; the newest `limit` of them."""
    return gates.verdicts(project, subject or None, limit=limit)


def verdict(project: Project, *, id: str) -> gates.Verdict:  # noqa: A002
    """One verdict."""
    return gates.verdict(project, id)


def endpoints(project: Project) -> list[str]:
    """Every endpoint something was deployed to."""
    return deploy.endpoints(project)


def rollouts(project: Project, *, endpoint: str = "") -> list[deploy.Rollout]:
    """Rollouts, oldest first."""
    return deploy.rollouts(project, endpoint or None)


def rollout(project: Project, *, id: str) -> deploy.Rollout:  # noqa: A002
    """One rollout."""
    return deploy.rollout(project, id)


def signals(project: Project, *, endpoint: str = "", limit: Limit = 100) -> list[monitoring.Signal]:
    """Signals, newest stretch first."""
    return monitoring.signals(project, endpoint or None, limit=limit)


def windows(project: Project, *, endpoint: str, limit: Limit = 24) -> list[monitoring.Window]:
    """The newest monitoring windows of an endpoint, oldest first."""
    return monitoring.windows(project, endpoint)[-limit:]


def loop_state(project: Project, *, model: str) -> State:
    """What the engine knows of a model's loop."""
    return read_state(project, policy_of(project, model))


def loop_cycles(project: Project, *, model: str) -> list[Cycle]:
    """Every turn of a model's loop, the open one last."""
    return list(cycles(read_state(project, policy_of(project, model))))


RESOURCES: tuple[Resource, ...] = (
    Resource("", about),
    Resource("/events", events),
    Resource("/events/{seq}", event),
    Resource("/lineage", edges),
    Resource("/branches", branches),
    Resource("/commits", commits),
    Resource("/tables", tables),
    Resource("/tables/{name}", table),
    Resource("/tables/{name}/dataset", dataset),
    Resource("/tables/{name}/health", health),
    Resource("/uses", uses),
    Resource("/executions", executions),
    Resource("/executions/{id}", execution),
    Resource("/executions/{id}/steps", steps),
    Resource("/experiments", experiments),
    Resource("/runs", runs),
    Resource("/runs/{id}", run),
    Resource("/runs/{id}/metrics", metrics),
    Resource("/models", models),
    Resource("/models/{model}", versions),
    Resource("/models/{model}/{version}", version),
    Resource("/models/{model}/{version}/package", package),
    Resource("/models/{model}/{version}/approvals", approvals),
    Resource("/verdicts", verdicts),
    Resource("/verdicts/{id}", verdict),
    Resource("/endpoints", endpoints),
    Resource("/rollouts", rollouts),
    Resource("/rollouts/{id}", rollout),
    Resource("/signals", signals),
    Resource("/endpoints/{endpoint}/windows", windows),
    Resource("/loops/{model}", loop_state),
    Resource("/loops/{model}/cycles", loop_cycles),
    *(
        Resource(f"/pages{'/home' if view.path == '/' else view.path.replace(':path', '')}", view.read)
        for view in VIEWS
        if ":path" not in view.path
    ),
)
"""Every resource: the rooms' own records, and behind `/pages` the record of each page."""
