"""The demo: the year 2013 through the whole line, month by month, on an accelerated clock.

Nothing is faked but the clock. Rows land in Iceberg tables, features are computed and served, a separate process
answers every question over HTTP, labels arrive late, the loop decides. Every stage is keyed on the ledger: a demo that
was killed goes on where it was, and one that is run again finds everything done.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib import resources
from itertools import groupby
from pathlib import Path

from bucle import loop
from bucle.examples.flights.faulty import faulty
from bucle.examples.flights.world import FlightsWorld, Question, month_start, spoilt
from bucle.ground.core import SimulatedClock, to_micros
from bucle.ground.ledger import AlreadyDone
from bucle.ground.project import Project
from bucle.line import contracts, data, deploy, features, registry, serving

__all__ = ["MODEL", "Teller", "Year", "make_project"]

MODEL = "flights"
TABLES = ("flights", "weather", "arrivals")
TICK = timedelta(hours=12)
CLIENTS = 3
SPOILT_MONTH, SHUFFLED_MONTH, FAULTY_MONTH = 3, 5, 7
DRILL_DAY = timedelta(days=20)


class Teller:
    """Who is told how the demo goes; this one keeps silent."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def drill(self, name: str, outcome: str) -> None:
        """A drill was held."""

    def decided(self, at: datetime, decision: loop.Decision, outcome: loop.Outcome | None) -> None:
        """The loop decided something, and with an outcome, did it."""

    def asked(self, month: int, done: int, of: int) -> None:
        """So many of the month's questions were answered."""


def make_project(folder: Path) -> None:
    """Copy the example project into a folder that has none yet, and put it under git where there is git."""
    source = Path(str(resources.files("bucle.examples.flights") / "project"))
    if not (folder / "bucle.toml").exists():
        left_out = shutil.ignore_patterns("__pycache__", "bucle.toml")
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=left_out)
        _commit(folder, (source / "bucle.toml").read_bytes())


def _commit(folder: Path, settings: bytes) -> None:
    """One commit with a fixed author and date, so that the same example has the same commit everywhere.

    `bucle.toml` gets its name last: a folder that has one is whole, also when this was killed on the way.
    """
    waiting, target = folder / ".bucle.toml.new", folder / "bucle.toml"
    waiting.write_bytes(settings)
    shutil.rmtree(folder / ".git", ignore_errors=True)
    _git(folder, ["init", "-q"], ["add", ".", ":!.bucle.toml.new"])
    blob = _git(folder, ["hash-object", "-w", waiting.name])
    _git(
        folder,
        ["update-index", "--add", "--cacheinfo", f"100644,{blob},{target.name}"],
        ["commit", "-q", "--no-gpg-sign", "-m", "The flights example"],
    )
    waiting.rename(target)


def _git(folder: Path, *commands: list[str]) -> str:
    """Run git commands, where there is git, and give what the last one said."""
    git = shutil.which("git")
    if git is None:
        return ""
    who = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Bucle")
    who |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "demo@bucle.invalid")
    who |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2013-01-01T00:00:00Z")
    said = ""
    for arguments in commands:
        done = subprocess.run(  # noqa: S603
            [git, *arguments], cwd=folder, env={**os.environ, **who}, check=False, capture_output=True
        )
        said = done.stdout.decode().strip()
    return said


class Year:
    """A project and the world around it, in the year 2013.

    Args:
        folder: of the project; made from the example when it has none.
        database: an SQLAlchemy URL, or empty for the project's own.
        teller: is told what happens.
        months: play to the end of this month, 3 to 12.
    """

    def __init__(self, folder: Path, *, database: str = "", teller: Teller | None = None, months: int = 12) -> None:
        make_project(folder)
        self.clock = SimulatedClock(month_start(1))
        self.project = Project.open(folder, clock=self.clock, database=database, actor="demo")
        self.world = FlightsWorld()
        self.months = months
        self.policy = loop.policy_of(self.project, MODEL)
        self.failed_requests = 0
        self._tell = teller or Teller()
        self._store = features.local_online(self.project)
        self._views = [
            view
            for view in features.views_of(self.project.modules()).values()
            if isinstance(view, features.FeatureView)
        ]
        enrich = "bucle.line.features:enricher"
        command = (sys.executable, "-m", "bucle.line.serving", "--enrich", enrich)
        self.target = deploy.LocalTarget(start=True, command=command, stay=False)
        if last := self.project.ledger.events(newest_first=True, limit=1):
            self.clock.set(last[0].at)

    def play(self) -> None:
        """Everything that has not happened yet, to the end of the year."""
        act = loop.actions_for(self.project, self.policy, self.target)
        with loop.Controller(self.project, self.policy, act, report=self._report) as controller:
            # A demo that was killed leaves its endpoint for a moment; this one must not talk to that.
            serving.stop_process(self.project.state, self.policy.endpoint)
            self._begin(controller)
            for month in range(3, self.months + 1):
                self._play_month(controller, month)

    def close(self) -> None:
        """Stop the endpoint and give back the database."""
        serving.stop_process(self.project.state, self.policy.endpoint)
        self.project.close()

    def drills(self) -> dict[str, str]:
        """What each drill came to, by name."""
        held = self.project.ledger.events(kinds=["demo.drill_held"])
        return {event.subject.removeprefix("drill/"): event.reason for event in held}

    def _begin(self, controller: loop.Controller) -> None:
        self._tell.stage("January and February land; the first version is trained")
        data.commit(self.project, self.world.fixed(), message="aircraft and airports", key="land/fixed")
        for month in (1, 2):
            self.clock.set(month_start(month))
            self._land(month)
        self.clock.set(month_start(3))
        self._fill_fixed()
        if controller.state().champion == 0:
            first = loop.Request(id="first", reason="nothing serves yet", actor=self.project.actor)
            loop.request(self.project, MODEL, first)
            controller.tick()

    def _play_month(self, controller: loop.Controller, month: int) -> None:
        start, end = month_start(month), month_start(month + 1)
        self._tell.stage(f"{start:%B}")
        self.clock.set(start)
        if month == SPOILT_MONTH:
            self._drill("spoilt batch", lambda: self._land_spoilt(month))
        self._land(month)
        if self._was_done(f"played/{month}"):
            return
        self._tick(controller, month)
        deploy.apply(self.project, self.policy.endpoint, self.target)
        answered = self._answered(start)
        questions = [question for question in self.world.questions(month) if question.id not in answered]
        rows = self._rows(start, end)
        done = 0
        with self._clients() as ask:
            for tick, part in groupby(questions, key=lambda question: _floor(question.at, TICK)):
                self.clock.set(tick)
                if tick - start >= DRILL_DAY:
                    self._hold_drills(month)
                controller.tick()
                for hour, asked in groupby(part, key=lambda question: question.at):
                    self.clock.set(hour)
                    self._push(rows, hour)
                    done += ask(list(asked))
                self._tell.asked(month, done, len(questions))
        self.clock.set(end)
        self._tick(controller, month)
        self._note(f"played/{month}", "demo.month_played", f"month/2013-{month:02}", f"{done} questions")

    def _tick(self, controller: loop.Controller, month: int) -> None:
        """Have the loop do all there is to do; when the last month is over, also in a demo that was killed just then,
        only close its window: a challenger would have no traffic to prove itself on.
        """
        end = month_start(month + 1)
        if month < self.months or self.clock.now() < end:
            controller.tick()
            return
        while (watched := controller.state().watched_until) is not None and watched < end:
            if not controller.tick(limit=1):
                return

    def _land(self, month: int) -> None:
        kept = {name: contracts.load(self.project.root / "contracts" / f"{name}.yaml") for name in TABLES}
        batch, key = self.world.month(month), f"land/{month}"
        data.land(self.project, batch, contracts=kept, message=f"2013-{month:02}", key=key)

    def _land_spoilt(self, month: int) -> str:
        """Drill (a): the weather service changes its unit."""
        before = data.resolve(self.project).id
        kept = {name: contracts.load(self.project.root / "contracts" / f"{name}.yaml") for name in TABLES}
        try:
            data.land(self.project, spoilt(self.world.month(month)), contracts=kept, message="spoilt")
        except contracts.ContractViolated as refusal:
            is_hidden = data.resolve(self.project).id == before
            return f"refused: {refusal.what} Readers {'saw nothing of it' if is_hidden else 'SAW IT'}."
        return "NOT caught"

    def _hold_drills(self, month: int) -> None:
        state = loop.read_state(self.project, self.policy)
        if state.cycle is not None or state.requests:
            return
        if month == SHUFFLED_MONTH:
            self._drill("shuffled labels", self._propose_shuffled)
        if month == FAULTY_MONTH:
            self._drill("faulty version", self._propose_faulty)

    def _propose_shuffled(self) -> str:
        """Drill (b): a challenger that was trained on shuffled labels."""
        asked = loop.Request(
            id="drill-shuffled",
            reason="drill: labels shuffled",
            actor=self.project.actor,
            params={"labels": "shuffled"},
        )
        loop.request(self.project, MODEL, asked)
        return "a challenger trained on shuffled labels enters the loop"

    def _propose_faulty(self) -> str:
        """Drill (c): the champion again, exported so that it is right offline and wrong online."""
        champion = registry.version(self.project, MODEL, "champion")
        package = registry.load_package(self.project, champion.digest)
        extra = {name: self.project.blobs.get(blob) for name, blob in package.files.items() if name != registry.MODEL}
        spoiled = registry.pack(
            self.project,
            faulty(self.project.blobs.get(package.files[registry.MODEL])),
            request=package.request,
            features=package.features,
            instant=package.instant,
            entity=package.entity,
            files=extra,
        )
        version = registry.register(
            self.project,
            MODEL,
            spoiled,
            run=champion.run,
            commit=champion.commit,
            metrics=champion.metrics,
            author="drill",
            reason="drill: exported for the offline batch",
            key="drill/faulty/version",
        )
        reason = "drill: right offline, wrong online"
        asked = loop.Request(id="drill-faulty", reason=reason, actor=self.project.actor, version=version.version)
        loop.request(self.project, MODEL, asked)
        return f"version {version.version} answers small batches with errors and too slowly, and enters the loop"

    def _drill(self, name: str, hold: Callable[[], str]) -> None:
        if not self._was_done(f"drill/{name}"):
            outcome = hold()
            self._note(f"drill/{name}", "demo.drill_held", f"drill/{name.replace(' ', '-')}", outcome)
            self._tell.drill(name, outcome)

    def _rows(self, start: datetime, end: datetime) -> list[tuple[str, list[features.Row], list[int]]]:
        """The month's feature rows, encoded, with their instants; what holds from the month before comes along."""
        until = end + timedelta(microseconds=1)
        found = []
        for view in self._views:
            if view.ttl is not None:
                rows = features.compute(self.project, view, since=start - view.ttl, until=until)
                encoded = features.encoded(view, rows)
                found.append((view.pin, encoded, [row[1] for row in encoded]))
        self.project.ledger.record(
            "features.computed",
            subject=f"commit/{data.resolve(self.project).id}",
            actor=self.project.actor,
            data={"since": start.isoformat(), "until": end.isoformat(), "rows": sum(len(r) for _, r, _ in found)},
        )
        self._pushed = dict.fromkeys((pin for pin, _, _ in found), 0)
        return found

    def _push(self, rows: Sequence[tuple[str, list[features.Row], list[int]]], until: datetime) -> None:
        """Put into the online store what has come to hold by now, and nothing of the future."""
        for pin, encoded, instants in rows:
            first, last = self._pushed[pin], bisect_left(instants, to_micros(until) + 1)
            if last > first:
                self._store.put(pin, encoded[first:last])
                self._pushed[pin] = last

    def _fill_fixed(self) -> None:
        for view in self._views:
            if view.ttl is None:
                features.push(self._store, view, features.compute(self.project, view, until=self.clock.now()))

    @contextlib.contextmanager
    def _clients(self) -> Iterator[Callable[[list[Question]], int]]:
        process = serving.find_process(self.project.state, self.policy.endpoint)
        assert process is not None
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(serving.Client(process.url)) for _ in range(CLIENTS)]
            pool = stack.enter_context(ThreadPoolExecutor(CLIENTS))

            def ask(questions: list[Question]) -> int:
                return sum(pool.map(self._ask, clients, questions))

            yield ask

    def _ask(self, client: serving.Client, question: Question) -> int:
        try:
            client.infer(MODEL, question.columns, request_id=question.id)
        except serving.RequestFailed:
            self.failed_requests += 1
        return 1

    def _answered(self, since: datetime) -> set[str]:
        """The questions answered before a demo was killed."""
        waiting, _ = serving.live(self.project, self.policy.endpoint)
        kept = serving.predictions(self.project, self.policy.endpoint, since=since, columns=["request_id"])
        return {*waiting["request_id"].to_list(), *kept["request_id"].to_list()}

    def _was_done(self, key: str) -> bool:
        return self.project.ledger.find(f"demo/{key}") is not None

    def _note(self, key: str, kind: str, subject: str, reason: str) -> None:
        with contextlib.suppress(AlreadyDone):
            self.project.ledger.record(
                kind, subject=subject, actor=self.project.actor, key=f"demo/{key}", reason=reason
            )

    def _report(self, decision: loop.Decision, outcome: loop.Outcome | None) -> None:
        self._tell.decided(self.clock.now(), decision, outcome)


def _floor(instant: datetime, step: timedelta) -> datetime:
    return instant - (instant - month_start(1)) % step
