"""ActiveRun: a run as training code holds it. What it logs is written beside the training.

Numbers wait in memory for a few hundredths of a second; a thread writes them out together. `flush` returns when all
that was logged so far survives the death of this process. Nothing here stops a training: what a full disk or a database
that is away will not take is tried again, and told when the run ends.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, SupportsFloat, TypeVar, cast

import msgspec

from bucle.ground.core import BucleError, NotFound, StoreError
from bucle.line.client.buffer import Buffer
from bucle.line.client.console import Console, Listening, listen
from bucle.line.client.errors import ForeignProcess
from bucle.line.client.media import as_media
from bucle.line.client.message import End, Entry, Start
from bucle.line.client.sink import Sink
from bucle.line.client.system import watch_system
from bucle.line.tracking import LONGEST_PARAM, LONGEST_TAG, RunEnded, check_path, check_texts

__all__ = ["ActiveRun", "checked_params", "checked_tags"]

T = TypeVar("T")

WRITE_S = 0.02
"""Seconds between two writings; with the writing itself a point is durable within 0.05 s."""

RETRY_S = 1.0
"""Seconds after which what was not taken is tried again."""

FINISH_S = 30.0
"""Seconds `finish` waits for a server that answers, and for a disk that will not take the rest."""

PLAIN = (float, int)

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's pages and ours show a run under another."""

_log = logging.getLogger("bucle.tracking")


class ActiveRun:
    """A run that takes what is logged to it; safe to use from several threads, as a context or until `finish`.

    Attributes:
        id: the run's id.
        experiment: what it belongs to.
        name: for people.
    """

    def __init__(
        self,
        start: Start,
        sink: Sink,
        *,
        another: Callable[[], Sink],
        now: Callable[[], datetime],
        now_ms: Callable[[], int],
    ) -> None:
        sink.begin(start)
        self.id = start.run
        self.experiment = start.experiment
        self.name = start.name
        self._start = start
        self._sink = sink
        self._another = another
        self._now, self._now_ms = now, now_ms
        self._process = os.getpid()
        self._buffer = Buffer(now_ms)
        self._media_steps: dict[str, int] = {}
        self._closing = ExitStack()
        self._console: Console | None = None
        self._writing = threading.Lock()
        self._failure: BucleError | None = None
        self._stop = threading.Event()
        self._ending: End | None = None
        self._is_over = False
        self._taken: Entry | None = None
        self._thread = threading.Thread(target=self._write_on, name="bucle-run", daemon=True)
        self._thread.start()
        atexit.register(self._leave)

    @property
    def ref(self) -> str:
        """What the run is called on the ledger, `run/4f1c…`."""
        return f"run/{self.id}"

    def log(self, values: Mapping[str, object], step: int | None = None) -> None:
        """Note numbers and media by name; a dict within it becomes `outer/inner`.

        Args:
            values: name -> a number, an array of numbers (a stretch of its curve), a medium (`Image`, `Figure`,
                `Table`, `Html`), or what becomes one: a matplotlib figure, a PIL picture, a polars or pandas frame.
            step: the place of all of them; one more than the last of each when not given.
        Raises:
            BadMetric: a value is none of these; nothing of the call is kept.
            BadMedia: a medium cannot be made; the numbers are kept.
        """
        if all(type(value) in PLAIN for value in values.values()):  # what is logged most, by far
            self.log_metrics(cast(Mapping[str, float], values), step)
            return
        found = dict(_flat(values))
        media = {name: medium for name, value in found.items() if (medium := as_media(value)) is not None}
        numbers: dict[str, Any] = {name: value for name, value in found.items() if name not in media}
        if numbers:
            self.log_metrics(numbers, step)
        for name, medium in media.items():
            place = self._media_steps.get(name, 0) if step is None else int(step)
            self._media_steps[name] = place + 1
            for part in medium.parts():
                self.log_artifact(f"media/{name}/{place}.{part.ending}", part.content)

    def log_metrics(self, values: Mapping[str, SupportsFloat], step: Any = None) -> None:
        """Note measured values: one a key, or arrays of them.

        Args:
            values: name -> a number, or an array of shape (n,).
            step: their place in the curve, or an array of shape (n,); one more than the last of each when not given.
        Raises:
            BadMetric: a value is no number; nothing of the call is kept.
            RunEnded, ForeignProcess: this run takes nothing, or not here.
        Cost: about 2 µs a number, 50 ns a number in arrays.
        """
        self._check_open()
        self._buffer.add(values, step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Note parameters; kept as text. A dict within becomes `outer/inner`; the last value of each counts."""
        self._note(params=checked_params(params))

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Note tags; kept as text, the last value of each counts."""
        self._note(tags=checked_tags(tags))

    def log_artifact(self, name: str | Path, content: bytes | Path | None = None) -> None:
        """Keep a file, all files of a folder, or bytes.

        Args:
            name: within the run, e.g. `plots/roc.png`; or, without `content`, the file or folder itself, which is then
                kept under its own name.
            content: bytes, or a file or folder.
        Raises:
            NotFound: there is no such file.
            BadArtifactPath: the name leads out of the run.
            StoreError: the disk is full or the database away; nothing was kept.
        """
        self._check_open()
        if isinstance(content, bytes):
            self._put(check_path(str(name)), content)
            return
        source = Path(name if content is None else content)
        if not source.exists():
            raise NotFound(f"There is no file {source}.", fix="Name a file or folder, or give bytes.", at=str(source))
        kept = check_path(source.resolve().name if content is None else str(name))
        if source.is_dir():
            for file in sorted(one for one in source.rglob("*") if one.is_file()):
                self._put(f"{kept}/{file.relative_to(source).as_posix()}", file)
        else:
            self._put(kept, source)

    def child(
        self, name: str = "", *, params: Mapping[str, object] | None = None, tags: Mapping[str, object] | None = None
    ) -> ActiveRun:
        """Begin a run under this one, of the same experiment and circumstances: a fold, a trial.

        Returns:
            A run to use as a context, or until `finish`. What is printed, and how busy the machine is, this one keeps.
        """
        id_ = uuid.uuid4().hex
        own = {**self._start.tags, **checked_tags(tags), PARENT: self.id}
        start = msgspec.structs.replace(
            self._start, run=id_, name=name or id_[:6], params=checked_params(params), tags=own, started_at=self._now()
        )
        return ActiveRun(start, self._another(), another=self._another, now=self._now, now_ms=self._now_ms)

    def flush(self) -> None:
        """Wait until all that was logged so far survives the death of this process.

        Raises:
            StoreError: the disk is full or the database away; what was logged still waits in memory.
            BucleError: something logged since the last time will never be taken; it says what.
        """
        with self._writing:
            self._write_out()
            self._sink.sync()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def finish(
        self,
        status: Literal["finished", "failed", "killed"] = "finished",
        error: str = "",
        *,
        timeout_s: float = FINISH_S,
    ) -> None:
        """End the run; once it has ended a second time does nothing. Leaving the `with` block does this.

        Args:
            status: how it ended.
            error: why it failed.
            timeout_s: seconds to wait for a server that answers; what has not arrived then waits in a queue on this
                machine's disk and is delivered later, see `bucle runs sync`.
        Raises:
            StoreError: the disk or database would not take the last of it for `timeout_s`. What was logged waits in
                memory: finish once more to try again, and the run ends as it was to end the first time.
        """
        if self._is_over or self._process != os.getpid():
            return
        if self._ending is None:
            self._close(End(status=status, ended_at=self._now(), error=error[:8000]))
        with self._writing:
            _until(timeout_s, self._keep_last_of_console)
            _until(timeout_s, self._write_out)
            left = _until(timeout_s, lambda: self._end(timeout_s))
        self._is_over = True
        if left:
            _log.warning("Run %s has ended. %s", self.id, left)

    def __enter__(self) -> Self:
        """The run itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Finish: as failed when the block raised, as killed when it was interrupted."""
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
            return
        status: Literal["failed", "killed"] = "killed" if isinstance(error, KeyboardInterrupt) else "failed"
        try:
            self.finish(status, f"{type(error).__name__}: {error}".rstrip(": "))
        except BucleError:
            _log.exception("run %s", self.id)  # the training's own error is the one to see

    def attend(self, console: Listening, system_s: float | None, disk: str) -> None:
        """Watch the machine and listen to what is printed until the run ends; `begin` asks for it."""
        began = time.monotonic()
        self._console = self._closing.enter_context(listen(console, lambda: time.monotonic() - began))
        if system_s is not None:
            self._closing.enter_context(watch_system(self._buffer.add, interval_s=system_s, disk=disk))

    def _close(self, ending: End) -> None:
        """Take nothing more, and stop what goes on beside the training."""
        self._ending = ending
        atexit.unregister(self._leave)
        self._closing.close()
        self._stop.set()
        self._thread.join()

    def _note(self, **what: Mapping[str, str]) -> None:
        self._check_open()
        self._buffer.note(**what)

    def _put(self, path: str, content: bytes | Path) -> None:
        with self._writing:
            self._sink.put(path, content)

    def _write_on(self) -> None:
        pause = WRITE_S
        while not self._stop.wait(pause):
            pause = WRITE_S
            try:
                with self._writing:
                    self._write_out()
                    if self._console is not None and (text := self._console.fresh()) is not None:
                        self._keep_console(text)
            except StoreError as error:
                _log.warning("run %s: %s", self.id, error)
                pause = RETRY_S
            except Exception:  # whatever it is, the training goes on, and what was logged waits
                _log.exception("run %s", self.id)
                pause = RETRY_S

    def _write_out(self) -> None:
        """Write all that waits; what a place that is away did not take waits on."""
        while True:
            self._taken = self._taken or self._buffer.take()
            if self._taken is None:
                return
            try:
                self._sink.log(self._taken)
            except StoreError:
                raise
            except BucleError:
                # One value that cannot be kept must not take the others with it.
                for part in _apart(self._taken):
                    self._try(part)
            self._taken = None

    def _try(self, part: Entry) -> None:
        try:
            self._sink.log(part)
        except StoreError:
            raise
        except BucleError as error:
            if self._failure is None:
                _log.warning("run %s: %s", self.id, error)
            self._failure = error

    def _end(self, timeout_s: float) -> str:
        """Why not all of it has arrived, or nothing."""
        assert self._ending is not None
        try:
            return self._sink.end(self._ending, timeout_s)
        except StoreError:
            raise
        except BucleError as error:  # e.g. somebody put the run aside; the training is over and did well
            return str(error)

    def _keep_last_of_console(self) -> None:
        if self._console is not None:
            self._keep_console(self._console.last)

    def _keep_console(self, text: bytes) -> None:
        if text:
            self._sink.put("console.log", text)

    def _leave(self) -> None:
        """At the end of the process: a run nobody finished ends as the process does."""
        # At a prompt, an error somebody saw and went on from is remembered as well.
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        self.__exit__(None if error is None else type(error), error, None)

    def _check_open(self) -> None:
        if self._ending is not None:
            raise RunEnded(
                f"The run {self.id} is over.",
                why="What is logged now would belong to no run.",
                fix="Log inside the `with bucle.run(...) as run:` block, or before run.finish().",
                at=self.id,
            )
        if self._process != os.getpid():
            raise ForeignProcess(
                f"The run {self.id} was begun by process {self._process}; this one, {os.getpid()}, is forked from it.",
                why="A forked process has the run's memory, but not the thread that writes.",
                fix="Hand results back to the parent and log there, or begin a run here: bucle.run(...)",
                at=self.id,
            )


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Names and values with dicts within taken apart: `{"a": {"b": 1}}` is `a/b` and 1."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}/")
        else:
            yield f"{before}{name}", value


def checked_params(params: Mapping[str, object] | None) -> dict[str, str]:
    """Params as they are kept. Raises: BadText: one cannot be."""
    return dict(check_texts(_texts(params or {}), "parameter", LONGEST_PARAM))


def checked_tags(tags: Mapping[str, object] | None) -> dict[str, str]:
    """Tags as they are kept. Raises: BadText: one cannot be."""
    return dict(check_texts(_texts(tags or {}), "tag", LONGEST_TAG))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in _flat(values)}


def _apart(entry: Entry) -> Iterator[Entry]:
    yield from (Entry(stretches=(stretch,)) for stretch in entry.stretches)
    yield from (Entry(params={name: value}) for name, value in entry.params.items())
    yield from (Entry(tags={name: value}) for name, value in entry.tags.items())


def _until(timeout_s: float, act: Callable[[], T]) -> T:
    """What an act gives; tried again while the store fails, for so long."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            return act()
        except StoreError:
            if time.monotonic() >= until:
                raise
            time.sleep(min(RETRY_S, timeout_s / 10))
