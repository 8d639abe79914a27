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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import onnxruntime

from bucle.ground.core import BucleError, Clock
from bucle.line.serving.config import ServingSection
from bucle.line.serving.errors import ModelFailed, NotReady, UnknownModel
from bucle.line.serving.metrics import Metrics
from bucle.line.serving.model import Enrich, Model, Outcome, load_model
from bucle.line.serving.request import Request
from bucle.line.serving.route import Arm, Routes, load_routes, pick
from bucle.line.serving.segment import Prediction, PredictionLog

__all__ = ["Answer", "Endpoint", "State"]

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
    """

    routes: Routes
    models: dict[str, Model]

    def model_of(self, arm: Arm) -> Model:
        """The loaded model of an arm."""
        return self.models[arm.package]

    def arm_of(self, name: str, version: str) -> Arm:
        """The arm that serves a model, or exactly this version of it.

        Args:
            name: a model, or the endpoint itself.
            version: empty for any.
        Raises:
            UnknownModel: there is none.
        """
        for arm in self.routes.arms:
            if name in (arm.model, self.routes.endpoint) and version in ("", str(arm.version)):
                return arm
        served = ", ".join(f"{arm.model}@{arm.version}" for arm in self.routes.arms)
        raise UnknownModel(
            f"This endpoint does not serve {name[:80]!r}{f' version {version[:20]!r}' if version else ''}.",
            why=f"It serves {served}.",
            fix=f"POST /v2/models/{self.routes.champion.model}/infer",
        )


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
        self.log = PredictionLog(
            folder / "log", max_bytes=settings.segment_bytes, max_age_s=settings.segment_age_s
        )
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

    async def answer(self, request: Request, arm: Arm | None, started: float) -> Answer:
        """Answer a request, have it on record, and set the shadows to work.

        Args:
            arm: the version the client named, or None for whom the routes choose.
            started: `time.perf_counter()` when the request was whole.
        Raises:
            BadInput: a number does not fit the model's type.
            ModelFailed: the champion failed.
            LogUnwritable: the disk is full.
        """
        state = self.state
        spent_us = int((time.perf_counter() - started) * 1e6)
        if arm is not None:
            return await self._decide(state, request, arm, "direct", spent_us)
        arm = pick(state.routes.arms, state.routes.salt, request.routing_key)
        if arm.name == "champion":
            answer = await self._decide(state, request, arm, arm.name, spent_us)
        else:
            answer = await self._try(state, request, arm, spent_us)
        return answer

    def shadow(self, state: State, request: Request) -> None:
        """Let the shadows run on a request that has been answered."""
        for arm in state.routes.shadows:
            if len(self._shadows) >= self.settings.max_shadows:
                self.metrics.shadows_dropped += 1
                continue
            task = asyncio.get_running_loop().create_task(self._run_shadow(state, request, arm))
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
        return State(
            routes, {d: known.get(d) or load_model(self._folder / "packages" / d, self._enrich) for d in wanted}
        )

    async def _decide(self, state: State, request: Request, arm: Arm, name: str, spent_us: int) -> Answer:
        """Let an arm answer for good."""
        model = state.model_of(arm)
        begun = time.perf_counter()
        try:
            if model.expected_us(request.rows) <= INLINE_US:
                outcome = model.run(request)
            else:
                outcome = await asyncio.get_running_loop().run_in_executor(self._answers, model.run, request)
        except ModelFailed as error:
            self._note_failure(state, request, arm, name, error, spent_us + _since_us(begun))
            raise
        self._note(state, request, arm, name, model, outcome, spent_us)
        return Answer(request, arm, name, model, outcome)

    async def _try(self, state: State, request: Request, arm: Arm, spent_us: int) -> Answer:
        """Let a canary answer; the champion steps in when it fails."""
        model, begun = state.model_of(arm), time.perf_counter()
        try:
            outcome = await self._limited(model, request)
        except ModelFailed as error:
            self._note_failure(state, request, arm, arm.name, error, spent_us + _since_us(begun))
            return await self._decide(state, request, state.routes.champion, "fallback", spent_us)
        self._note(state, request, arm, arm.name, model, outcome, spent_us)
        return Answer(request, arm, arm.name, model, outcome)

    async def _limited(self, model: Model, request: Request) -> Outcome:
        """Run on the trials' threads within the time limit; a run over it is ended."""
        options = onnxruntime.RunOptions()
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

    async def _run_shadow(self, state: State, request: Request, arm: Arm) -> None:
        model, begun = state.model_of(arm), time.perf_counter()
        try:
            outcome = await self._limited(model, request)
            self._note(state, request, arm, "shadow", model, outcome, 0)
        except BucleError as error:
            # A full disk must not fail what nobody waits for; the next answer will say it.
            if isinstance(error, ModelFailed):
                self._note_failure(state, request, arm, "shadow", error, _since_us(begun))

    def _note(
        self, state: State, request: Request, arm: Arm, name: str, model: Model, outcome: Outcome, spent_us: int
    ) -> None:
        latency_us = spent_us + outcome.latency_us
        outputs = {output: values.tolist() for output, values in outcome.outputs.items()}
        score = model.score or ""
        self.log.append(
            self._record(
                state, request, arm, name, latency_us=latency_us, outputs=outputs, features=outcome.features, score=score
            )
        )
        self.metrics.answered(arm, name, rows=request.rows, latency_us=latency_us, failed=False)

    def _note_failure(
        self, state: State, request: Request, arm: Arm, name: str, error: ModelFailed, latency_us: int
    ) -> None:
        self.log.append(self._record(state, request, arm, name, latency_us=latency_us, error=error.what))
        self.metrics.answered(arm, name, rows=request.rows, latency_us=latency_us, failed=True)

    def _record(
        self,
        state: State,
        request: Request,
        arm: Arm,
        name: str,
        *,
        latency_us: int,
        error: str = "",
        outputs: dict[str, list[object]] | None = None,
        features: dict[str, list[object]] | None = None,
        score: str = "",
    ) -> Prediction:
        return Prediction(
            request_id=request.id,
            at=self._clock.now(),
            endpoint=state.routes.endpoint,
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
            score=score,
        )


def _since_us(begun: float) -> int:
    return int((time.perf_counter() - begun) * 1e6)
