"""LiveRun: a run while it runs. What is logged is gathered for a moment and written in few transactions."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import index
from pathlib import Path
from typing import Literal, SupportsFloat

from msgspec.structs import replace
from sqlalchemy.engine import Connection

from bucle.ground.core import check_name, decode, digest_of_value, encode, environment, make_ref, to_micros
from bucle.ground.project import Project
from bucle.ground.store import Work
from bucle.line.tracking import store
from bucle.line.tracking.artifact import artifact_work, check_path
from bucle.line.tracking.code import code_of
from bucle.line.tracking.errors import BadMetric, RunEnded, RunExists
from bucle.line.tracking.experiment import ensure_experiment
from bucle.line.tracking.fold import FULL, LONG_TAIL, fold_runs
from bucle.line.tracking.log import end_run
from bucle.line.tracking.point import LEAST, Point
from bucle.line.tracking.run import Circumstances
from bucle.line.tracking.text import LONGEST_PARAM, LONGEST_TAG, check_key, check_texts
from bucle.line.tracking.writes import create_work, log_work, open_run, update_work

__all__ = ["LiveRun", "start"]

GATHER_S = 0.03
"""Seconds that what is logged may wait for more to come; then it is written and survives `kill -9`."""

MOST = 200_000
"""Points that may wait; who logs faster than the disk writes waits as well."""


class LiveRun:
    """A run that takes what is logged to it; safe to use from several threads.

    Attributes:
        id: the run's id.
        attempt: 1, and one more each time it is resumed.
        done: the run was finished before (its key was used): what is logged is known already and not written again.
    """

    def __init__(
        self,
        project: Project,
        id: str,  # noqa: A002  the noun says whose id
        *,
        attempt: int,
        done: bool,
    ) -> None:
        self.id = id
        self.attempt = attempt
        self.done = done
        self._project = project
        self._lock = threading.RLock()
        self._ended = False
        self._waiting = threading.Event()
        self._closing = threading.Event()
        self._writer: threading.Thread | None = None
        self._error: Exception | None = None
        self._places: dict[str, tuple[int, int, int]] = {}
        self._points: list[Point] = []
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._files: dict[str, tuple[str, int]] = {}
        self._unfolded = (0, 0)

    @property
    def ref(self) -> str:
        """What the run is called on the ledger, `run/4f1c…`."""
        return make_ref("run", self.id)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Note parameters; kept as text, the last value of each counts."""
        texts = {name: str(value) for name, value in params.items()}
        self._take("params", check_texts(texts, "parameter", LONGEST_PARAM))

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Note tags; kept as text, the last value of each counts."""
        self._take("tags", check_texts({name: str(value) for name, value in tags.items()}, "tag", LONGEST_TAG))

    def log_metrics(self, values: Mapping[str, SupportsFloat], step: int | None = None) -> None:
        """Note measured values.

        Args:
            step: their place in the curve; one more than the last of each when not given. The same step again counts
                as its value from then on.
        Raises:
            BadMetric: a value is no number; nothing of the call is kept.
            BadText: that cannot be a metric's key.
        """
        numbers = {key: _number(key, value) for key, value in values.items()}
        place = None if step is None else index(step)
        with self._lock:
            self._check_open()
            if self.done:
                return
            now = to_micros(self._project.clock.now()) // 1000
            self._points += [Point(key, value, *self._place(key, place, now)) for key, value in numbers.items()]
            self._wake()
            if len(self._points) > MOST:
                self.flush()

    def log_artifact(self, name: str, content: bytes | Path) -> str:
        """Keep bytes, or a file's content, under a name.

        Args:
            name: e.g. `curve.json` or `plots/roc.png`.
        Returns:
            The digest of the blob.
        Raises:
            BadArtifactPath: the name could not stand in a path.
            DiskFull: nothing was kept.
        """
        check_path(name)
        blobs = self._project.blobs
        if isinstance(content, Path):
            digest, size = blobs.put_file(content), content.stat().st_size
        else:
            digest, size = blobs.put(content), len(content)
        with self._lock:
            self._check_open()
            self._files[name] = (digest, size)
            self._wake()
        return digest

    def flush(self) -> None:
        """Write out all that waits, in one transaction.

        Raises:
            DatabaseFailed: it could not be written; it waits on.
            BadText, BadMetric, BadArtifactPath: something cannot be kept; nothing of what waited is.
        """
        with self._lock:
            works, points = self._works()
            if not works:
                return
            rows, batches = self._unfolded
            is_long = rows + points >= FULL or batches + 1 >= LONG_TAIL
            self._project.database.grouped(_all_of([*works, self._fold] if is_long else works))
            self._unfolded = (0, 0) if is_long else (rows + points, batches + 1)
            self._forget()

    def end(self, status: Literal["finished", "failed", "killed"], error: str = "") -> None:
        """Write out all that waits, close the run and seal it. `start` does this."""
        with self._lock:
            self._error = None  # what could not be written before is tried once more, and tells itself
            self._check_open()
            if not self.done:
                self._close(status, error)
            self._ended = True
            self._closing.set()
            self._waiting.set()
        if self._writer is not None:
            self._writer.join()

    def _close(self, status: Literal["finished", "failed", "killed"], error: str) -> None:
        self.flush()
        end_run(self._project, self.id, status=status, error=error)

    def _take(self, what: Literal["params", "tags"], values: Mapping[str, str]) -> None:
        with self._lock:
            self._check_open()
            if values and not self.done:
                (self._params if what == "params" else self._tags).update(values)
                self._wake()

    def _place(self, key: str, step: int | None, now: int) -> tuple[int, int]:
        """Instant and step of a new point; at a step that was there before, the instant is a later one."""
        following, highest, last = self._places.get(key) or (0, LEAST, 0)
        if not last:
            check_key(key)
        place = following if step is None else step
        at = max(now, last if place > highest else last + 1)
        self._places[key] = (place + 1, max(place, highest), at)
        return at, place

    def _wake(self) -> None:
        """Have it written in a moment."""
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name=f"bucle-run-{self.id}", daemon=True)
            self._writer.start()
        self._waiting.set()

    def _write(self) -> None:
        while not self._closing.is_set():
            self._waiting.wait()
            self._waiting.clear()
            self._closing.wait(GATHER_S)
            try:
                if not self._closing.is_set():
                    self.flush()
            except Exception as error:  # told to whoever logs next
                self._error = error

    def _works(self) -> tuple[list[Work[None]], int]:
        """All that waits, as works, and how many points it has."""
        if self.done or not (self._points or self._params or self._tags or self._files):
            return [], 0
        works: list[Work[None]] = []
        if self._points or self._params or self._tags:
            logged = log_work(
                self._project,
                self.id,
                points=self._points,
                params=self._params,
                tags=self._tags,
                replace_params=True,
            )
            works.append(logged)
        if self._files:
            works.append(artifact_work(self._project, self.ref, dict(self._files)))
        return works, len(self._points)

    def _fold(self, connection: Connection) -> None:
        fold_runs(connection, [open_run(connection, self.id).seq])

    def _forget(self) -> None:
        self._points, self._params, self._tags, self._files = [], {}, {}, {}

    def _check_open(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._ended:
            raise RunEnded(
                f"The run {self.id} is over.",
                why="What is logged now would belong to no run.",
                fix="Log inside the `with tracking.start(...) as run:` block.",
                at=self.id,
            )


@contextmanager
def start(
    project: Project,
    experiment: str,
    *,
    name: str = "",
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    inputs: Sequence[str] = (),
    seed: int | None = None,
    key: str | None = None,
) -> Iterator[LiveRun]:
    """Begin a run; it is finished when the block ends well and failed when it raises.

    The code (git commit and uncommitted changes) and the environment are kept as they are now.

    Args:
        experiment: what it belongs to; made by its first run.
        inputs: refs of what it reads, e.g. `commit/9a0b…`.
        seed: what the random numbers begin with.
        key: with the same key the same run goes on: what it logs again replaces, nothing is doubled; once finished it
            stays as it is and `LiveRun.done` is true.
    Raises:
        BadName: the experiment's name does not fit in a ref.
        GitFailed: the project's git repository cannot be read.
        RunDeleted, ExperimentDeleted: what should go on was put aside.
    """
    about = _circumstances(project, inputs, seed)
    live = _begin(project, check_name(experiment, "experiment"), name, key, about)
    live.log_params(params or {})
    live.set_tags(tags or {})
    try:
        yield live
    except BaseException as error:
        live.end("failed", f"{type(error).__name__}: {error}")
        raise
    live.end("finished")


def _circumstances(project: Project, inputs: Sequence[str], seed: int | None) -> Circumstances:
    code, surroundings = code_of(project.root), environment()
    return Circumstances(
        inputs=tuple(inputs),
        within=project.reader,
        seed=seed,
        code_commit=code.commit,
        code_diff=project.blobs.put(code.diff) if code.diff else "",
        environment=project.blobs.put(encode(surroundings)),
        lock=project.blobs.put(surroundings.lock().encode()),
    )


def _begin(project: Project, experiment: str, name: str, key: str | None, about: Circumstances) -> LiveRun:
    id_ = uuid.uuid4().hex[:16] if key is None else digest_of_value(["run", experiment, key])[:16]
    number = ensure_experiment(project, experiment).id
    create = create_work(project, number, id=id_, name=name, circumstances=about)
    resume = _resuming(project, id_, about)

    def work(connection: Connection) -> tuple[Circumstances, bool]:
        known = store.LIVE_RUN.first(connection, {"the_id": id_})
        if known is None:
            try:
                create(connection)
                return about, False
            except RunExists:  # another process began it just now; PostgreSQL shows it from here on
                known = store.LIVE_RUN.first(connection, {"the_id": id_})
                if known is None:
                    raise
        return resume(connection, known[0], decode(known[1], Circumstances, what="run"))

    circumstances, done = project.database.grouped(work)
    return LiveRun(project, id_, attempt=circumstances.attempt, done=done)


def _resuming(
    project: Project, id_: str, about: Circumstances
) -> Callable[[Connection, str, Circumstances], tuple[Circumstances, bool]]:
    def resume(connection: Connection, status: str, before: Circumstances) -> tuple[Circumstances, bool]:
        """Go on with a run, unless it is finished."""
        if status == "finished":
            return before, True
        again = replace(about, attempt=before.attempt + 1)
        update_work(project, id_, status="running", circumstances=again)(connection)
        return again, False

    return resume


def _all_of(works: Sequence[Work[None]]) -> Work[None]:
    def work(connection: Connection) -> None:
        for one in works:
            one(connection)

    return work


def _number(key: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadMetric(
            f"The metric {key!r} is {value!r}, which is no number.",
            fix="Log texts with log_params or set_tags.",
            at=key,
        ) from error
