"""Evidence: what the ledger and the tables have on record of one model, read once for all tests of the rubric."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bucle.ground import governance
from bucle.ground.core import NotFound, decode, make_ref
from bucle.ground.governance import Approval
from bucle.ground.ledger import Event
from bucle.ground.project import STATE, Project
from bucle.line import contracts, data, deploy, features, gates, monitoring, pipelines, registry, serving, tracking
from bucle.loop.controller import cycles, read_state
from bucle.loop.errors import NoSuchLoop
from bucle.loop.policy import Policy, policy_of
from bucle.loop.state import Cycle, State

__all__ = ["Evidence", "event_ref", "is_automatic"]

_SKIPPED = {STATE, ".venv", "venv", "node_modules", "__pycache__"}


def event_ref(seq: int) -> str:
    """What an event of the ledger is called, e.g. `event/17`."""
    return make_ref("event", str(seq))


def is_automatic(event: Event) -> bool:
    """Whether the loop or its policy did it, and not a person."""
    return event.actor.startswith(("loop/", "policy:"))


@dataclass(frozen=True)
class Evidence:
    """What is on record of one model, read on demand and kept.

    Attributes:
        project: the project.
        model: the model's name; it has at least one version.
    """

    project: Project
    model: str

    @cached_property
    def versions(self) -> list[registry.ModelVersion]:
        """Every version, oldest first."""
        return registry.versions(self.project, self.model)

    @cached_property
    def version(self) -> registry.ModelVersion:
        """The champion, or the latest version."""
        return next((one for one in self.versions if "champion" in one.aliases), self.versions[-1])

    @cached_property
    def policy(self) -> Policy | None:
        """The model's policy; None when it has none."""
        try:
            return policy_of(self.project, self.model)
        except NoSuchLoop:
            return None

    @cached_property
    def endpoint(self) -> str:
        """The endpoint that serves it."""
        return self.policy.endpoint if self.policy else self.model

    @cached_property
    def package(self) -> registry.Package | None:
        """The version's package; None for a version of another kind."""
        return self.package_of(self.version)

    def package_of(self, version: registry.ModelVersion) -> registry.Package | None:
        """A version's package; None when it is of another kind, or its package is gone."""
        try:
            return registry.load_package(self.project, version.digest) if version.kind == "package" else None
        except NotFound:
            return None

    @cached_property
    def run(self) -> tracking.Run | None:
        """The run that trained it."""
        try:
            return tracking.run(self.project, self.version.run) if self.version.run else None
        except NotFound:
            return None

    @cached_property
    def steps(self) -> list[pipelines.StepRun]:
        """The steps that made it."""
        execution = self.version.execution
        return pipelines.step_runs(self.project, execution) if execution else []

    @cached_property
    def uses(self) -> list[data.Use]:
        """What its steps read to train, newest first."""
        readers = {make_ref("step", step.key) for step in self.steps}
        return [use for use in data.uses(self.project) if use.allowed and use.reader in readers]

    @cached_property
    def views(self) -> dict[str, features.View]:
        """The views that its package pins, as the project has them now."""
        pins = self.package.features if self.package else ()
        known = features.views_of(self.project.modules())
        return {pin.partition("@")[0]: known[name] for pin in pins if (name := pin.partition("@")[0]) in known}

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """The tables it is made of: those its steps read, and those its views read."""
        timed = [view for view in self.views.values() if isinstance(view, features.FeatureView)]
        return tuple(sorted({use.table for use in self.uses} | {s.table for view in timed for s in view.sources}))

    @cached_property
    def contracted(self) -> set[str]:
        """Those of its tables that have a contract."""
        return {table for table in self.tables if contracts.path_of(self.project, table).is_file()}

    @cached_property
    def landings(self) -> dict[str, data.Verdict]:
        """Table -> the newest verdict of its contract on a batch."""
        newest = ((table, data.verdicts(self.project, table, limit=1)) for table in self.tables)
        return {table: found[0] for table, found in newest if found}

    @cached_property
    def approvals(self) -> list[Approval]:
        """Who said yes to the version as it is."""
        return governance.approvals(self.project, self.version.ref, digest=self.version.digest)

    @cached_property
    def verdicts(self) -> list[tuple[Event, gates.Verdict]]:
        """The gates' verdicts on any version of the model with their events, newest first."""
        events = self.events("gates.judged", f"{make_ref('model', self.model)}@*")
        return [(event, gates.verdict(self.project, str(event.data["verdict"]))) for event in events]

    @cached_property
    def watched(self) -> list[tuple[Event, monitoring.Watch]]:
        """Looks at the endpoint that saw an answer of this model, newest first."""
        found = self.events("monitoring.watched", make_ref("endpoint", self.endpoint))
        mine = [event for event in found if any(one["model"] == self.model for one in event.data["windows"])]
        return [(event, self._watch(event)) for event in mine]

    def _watch(self, event: Event) -> monitoring.Watch:
        return decode(self.project.blobs.get(event.data["report"]), monitoring.Watch, what="watch")

    @cached_property
    def answers(self) -> int:
        """How many answers of its endpoint are on record, collected or still in the log."""
        kept = sum(one.rows for one in serving.collected_segments(self.project, self.endpoint))
        return kept or serving.live(self.project, self.endpoint)[0].height

    @cached_property
    def rollouts(self) -> list[tuple[Event, deploy.Rollout]]:
        """The model's rollouts with the events that began them, newest first."""
        known = {one.id: one for one in deploy.rollouts(self.project) if one.model == self.model}
        events = self.events("deploy.rollout_started", make_ref("endpoint", "*"))
        return [(event, known[event.data["rollout"]]) for event in events if event.data.get("rollout") in known]

    @cached_property
    def state(self) -> State | None:
        """What its loop knows; None without a policy."""
        return read_state(self.project, self.policy) if self.policy else None

    @cached_property
    def cycles(self) -> tuple[Cycle, ...]:
        """The turns of its loop, oldest first; none without a policy."""
        return cycles(self.state) if self.state else ()

    @property
    def has_newer_data(self) -> bool:
        """Whether data came after the last retraining."""
        return self.state is not None and self.state.fresh

    @cached_property
    def done(self) -> list[Event]:
        """What its loop carried out, newest first."""
        return self.events("loop.done", make_ref("loop", self.model))

    def events(self, kind: str, subject: str | None = None) -> list[Event]:
        """Events of a kind, newest first."""
        return self.project.ledger.events(kinds=[kind], subject=subject, newest_first=True)

    @cached_property
    def tests(self) -> dict[str, set[str]]:
        """Test file of the project -> the modules it imports."""
        files = (path for path in self.project.root.rglob("*.py") if _is_test(path.relative_to(self.project.root)))
        return {path.relative_to(self.project.root).as_posix(): set(_imports(path)) for path in sorted(files)}

    def tests_of(self, modules: set[str]) -> list[str]:
        """The project's test files that import one of these modules."""
        return [file for file, imported in self.tests.items() if imported & modules]


def _is_test(path: Path) -> bool:
    if _SKIPPED & set(path.parts):
        return False
    return path.name.startswith("test_") or path.name.endswith("_test.py")


def _imports(path: Path) -> Iterator[str]:
    """The modules a file imports; none of a file that is no Python."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
