"""Endpoint: routes in force, models loaded, and the path from a request to its answer.

Laws:
- What is answered is on record before it is sent.
- A client never sees a canary fail: the champion answers, the canary's failure is on record.
- Shadows never touch an answer.
- New routes come into force at once and whole; requests under way end with the models they began with.
- New routes that cannot be loaded leave the old ones in force.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bucle.ground.core import BucleError, Clock, suggest
from bucle.line.serving.config import ServingSection
from bucle.line.serving.errors import ModelFailed, NotReady, UnknownModel
from bucle.line.serving.metrics import Metrics
from bucle.line.serving.model import Enrich, Model, Outcome, load_model, runtime
from bucle.line.serving.request import Request
from bucle.line.serving.route import CHAMPION, Arm, Routes, load_routes, pick
from bucle.line.serving.segment import Prediction, PredictionLog

__all__ = ["Answer", "Endpoint", "State"]

_LOG = logging.getLogger(__name__)

DIRECT = "direct"
"""The arm on record when the client named the version."""

FALLBACK = "fallback"
"""The arm on record when the champion stepped in for a failing canary."""

SHADOW = "shadow"
"""The arm on record when nobody saw the answer."""

INLINE_US = 2000.0
"""A run expected to be shorter stays on the event loop: handing it to a thread and back costs 100 to 200 us."""


class Answer(NamedTuple):
    """What a client is told.

    Attributes:
        request: what was asked.
        arm: who answered.
        name: the arm's name on record; `fallback` when it stepped in.
        model: the loaded version.
        outcome: what it said.
    """

    request: Request
    arm: Arm
    name: str
    model: Model
    outcome: Outcome


class State(NamedTuple):
    """Routes with every model they name.

    Attributes:
        routes: in force.
        models: loaded, by package digest.
        named: the arm that serves a model's name, or `name/versions/number`; the endpoint's own name serves as well.
    """

    routes: Routes
    models: dict[str, Model]
    named: dict[str, Arm]

    @classmethod
    def of(cls, routes: Routes, models: dict[str, Model]) -> State:
        """With the names that go with the routes."""
        named: dict[str, Arm] = {}
        for arm in routes.arms:
            for name in (routes.endpoint, arm.model):
                named.setdefault(name, arm)
                named.setdefault(f"{name}/versions/{arm.version}", arm)
        return cls(routes, models, named)

    @property
    def champion(self) -> Model:
        """The champion's model: its package says what clients send."""
        return self.models[self.routes.champion.package]

    def arm_of(self, name: str) -> Arm:
        """The arm behind a name in a path.

        Raises:
            UnknownModel: there is none.
        """
        arm = self.named.get(name)
        if arm is None:
            served = ", ".join(f"{arm.model}/versions/{arm.version}" for arm in self.routes.arms)
            raise UnknownModel(
                f"This endpoint does not serve {name[:80]!r}.",
                why=f"It serves {served}.",
                fix=suggest(name[:80], self.named) or f"POST /v2/models/{self.routes.champion.model}/infer",
            )
        return arm


class _Turn(NamedTuple):
    """A request on its way: what is in force, what is asked, and the time spent on reading it."""

    state: State
    request: Request
    spent_us: int


class Endpoint:
    """One endpoint in one process.

    Args:
        folder: the endpoint's folder: `routes.json`, `packages/`, `log/`.
        settings: limits.
        clock: tells when a request was answered.
        enrich: adds the columns of feature views; needed when a package pins some.
    """

    def __init__(self, folder: Path, settings: ServingSection, clock: Clock, enrich: Enrich | None = None) -> None:
        self.name = folder.name
        self.settings = settings
        self.metrics = Metrics(folder.name)
        self.log = PredictionLog(folder / "log", max_bytes=settings.segment_bytes, max_age_s=settings.segment_age_s)
        self._folder = folder
        self._clock = clock
        self._enrich = enrich
        self._state: State | None = None
        self._reloading = asyncio.Lock()
        self._answers = ThreadPoolExecutor(2, "answers")
        # Canaries and shadows wait for each other, never the champion for them.
        self._trials = ThreadPoolExecutor(2, "trials")
        self._shadows: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> State:
        """What is in force.

        Raises:
            NotReady: nothing is loaded yet.
        """
        if self._state is None:
            raise NotReady(
                f"Endpoint {self.name!r} has no model loaded.",
                why="Nothing was deployed to it yet, or it is still starting.",
                fix="Ask again in a moment, or deploy a version.",
            )
        return self._state

    async def reload(self) -> int:
        """Bring the routes on disk into force, if they are newer.

        Returns:
            The generation in force.
        Raises:
            NoRoutes, CorruptRecord, PackageDamaged, …: what is on disk cannot be loaded; the old routes stand.
        """
        async with self._reloading:
            try:
                state = await asyncio.get_running_loop().run_in_executor(self._trials, self._load)
            except BucleError:
                self.metrics.reload_failures += 1
                raise
            self._state = state
            self.metrics.generation = state.routes.generation
            return state.routes.generation

    async def answer(self, state: State, request: Request, arm: Arm | None, started: float) -> Answer:
        """Answer a request and have it on record.

        Args:
            state: in force when the request was read.
            arm: the version the client named, or None for whom the routes choose.
            started: `time.perf_counter()` when the request was whole.
        Raises:
            BadInput: a number does not fit the model's type.
            ModelFailed: the champion failed.
            LogUnwritable: the disk is full.
        """
        turn = _Turn(state, request, _since_us(started))
        if arm is not None:
            return await self._decide(turn, arm, DIRECT)
        arm = pick(state.routes.arms, state.routes.salt, request.routing_key)
        if arm.name == CHAMPION:
            return await self._decide(turn, arm, CHAMPION)
        return await self._try(turn, arm)

    def shadow(self, state: State, request: Request) -> None:
        """Let the shadows run on a request that has been answered."""
        for arm in state.routes.shadows:
            if len(self._shadows) >= self.settings.max_shadows:
                self.metrics.shadows_dropped += 1
                continue
            turn = _Turn(state, request, 0)
            task = asyncio.get_running_loop().create_task(self._run_shadow(turn, arm))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def rotate(self) -> None:
        """Close the log's segment once the shadows are through, so that it can be collected."""
        while self._shadows:
            await asyncio.gather(*self._shadows)
        self.log.rotate()

    async def close(self) -> None:
        """End well: shadows done, log closed."""
        await self.rotate()
        self._answers.shutdown()
        self._trials.shutdown()

    def _load(self) -> State:
        routes = load_routes(self._folder)
        if self._state is not None and routes.generation <= self._state.routes.generation:
            return self._state
        known = {} if self._state is None else self._state.models
        wanted = dict.fromkeys(arm.package for arm in (*routes.arms, *routes.shadows))
        return State.of(
            routes, {d: known.get(d) or load_model(self._folder / "packages" / d, self._enrich) for d in wanted}
        )

    async def _decide(self, turn: _Turn, arm: Arm, name: str) -> Answer:
        """Let an arm answer for good."""
        model, request = turn.state.models[arm.package], turn.request
        begun = time.perf_counter()
        try:
            if model.expected_us(request.rows) <= INLINE_US:
                outcome = model.run(request)
            else:
                outcome = await asyncio.get_running_loop().run_in_executor(self._answers, model.run, request)
        except ModelFailed as error:
            self._note_failure(turn, arm, name, error=error, took_us=_since_us(begun))
            raise
        self._note(turn, arm, name, outcome)
        return Answer(request, arm, name, model, outcome)

    async def _try(self, turn: _Turn, arm: Arm) -> Answer:
        """Let a canary answer; the champion steps in when it fails."""
        model, begun = turn.state.models[arm.package], time.perf_counter()
        try:
            outcome = await self._limited(model, turn.request)
        except ModelFailed as error:
            self._note_failure(turn, arm, arm.name, error=error, took_us=_since_us(begun))
            return await self._decide(turn, turn.state.routes.champion, FALLBACK)
        self._note(turn, arm, arm.name, outcome)
        return Answer(turn.request, arm, arm.name, model, outcome)

    async def _limited(self, model: Model, request: Request) -> Outcome:
        """Run on the trials' threads within the time limit; a run over it is ended."""
        options = runtime().RunOptions()
        run: Callable[..., Outcome] = model.run
        running = asyncio.get_running_loop().run_in_executor(self._trials, run, request, options)
        limit = self.settings.trial_timeout_s
        try:
            return await asyncio.wait_for(running, limit)
        except TimeoutError as error:
            options.terminate = True
            raise ModelFailed(
                f"Package {model.package.digest[:12]} took longer than {limit} s.",
                why="A version on trial must not keep a client waiting.",
                fix="Roll back, or raise [serving] trial_timeout_s.",
            ) from error

    async def _run_shadow(self, turn: _Turn, arm: Arm) -> None:
        model, begun = turn.state.models[arm.package], time.perf_counter()
        try:
            outcome = await self._limited(model, turn.request)
            self._note(turn, arm, SHADOW, outcome)
        except ModelFailed as error:
            self._note_failure(turn, arm, SHADOW, error=error, took_us=_since_us(begun))
        except BucleError as error:
            # Nobody waits for it: a full disk, or a number only this version finds too large, is said in the log.
            _LOG.warning("a shadow of %s is not on record: %s", self.name, error)

    def _note(self, turn: _Turn, arm: Arm, name: str, outcome: Outcome) -> None:
        latency_us = turn.spent_us + outcome.latency_us
        self.log.append(
            self._record(
                turn,
                arm,
                name,
                latency_us=latency_us,
                outputs={output: values.tolist() for output, values in outcome.outputs.items()},
                features=outcome.features,
            )
        )
        self.metrics.answered(arm, name, rows=turn.request.rows, latency_us=latency_us, failed=False)

    def _note_failure(self, turn: _Turn, arm: Arm, name: str, *, error: ModelFailed, took_us: int) -> None:
        latency_us = turn.spent_us + took_us
        try:
            self.log.append(self._record(turn, arm, name, latency_us=latency_us, error=error.what))
        finally:
            self.metrics.answered(arm, name, rows=turn.request.rows, latency_us=latency_us, failed=True)

    def _record(
        self,
        turn: _Turn,
        arm: Arm,
        name: str,
        *,
        latency_us: int,
        error: str = "",
        outputs: dict[str, list[Any]] | None = None,
        features: dict[str, list[Any]] | None = None,
    ) -> Prediction:
        request = turn.request
        return Prediction(
            request_id=request.id,
            at=self._clock.now(),
            endpoint=self.name,
            model=arm.model,
            version=arm.version,
            package=arm.package,
            arm=name,
            routing_key=request.routing_key,
            status="error" if error else "ok",
            error=error,
            latency_us=latency_us,
            rows=request.rows,
            ids=request.ids,
            instants=request.instants,
            request=request.columns,
            features=features or {},
            outputs=outputs or {},
            score=turn.state.models[arm.package].score or "",
        )


def _since_us(begun: float) -> int:
    return int((time.perf_counter() - begun) * 1e6)
