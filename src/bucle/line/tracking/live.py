"""LiveRun: a run while it runs. What is logged is gathered and written in few transactions."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsFloat

from bucle.ground.core import (
    check_name,
    decode,
    digest_of_value,
    encode,
    environment,
    make_ref,
)
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.code import code_of
from bucle.line.tracking.errors import BadMetric, RunEnded
from bucle.line.tracking.run import Point, Status
from bucle.line.tracking.tables import METRIC_BATCHES, RUNS

__all__ = ["LiveRun", "start"]

FLUSH_S = 1.0
"""Seconds after which the next thing logged writes out all that waits; so much may be lost with the process."""


class LiveRun:
    """A run that takes what is logged to it; safe to use from several threads.

    Attributes:
        id: the run's id.
        attempt: 1, and one more each time it is resumed.
        done: the run was finished before (its key was used): what is logged is known already and not written again.
    """

    def __init__(self, project: Project, id: str, attempt: int, *, done: bool) -> None:  # noqa: A002
        self.id = id
        self.attempt = attempt
        self.done = done
        self._project = project
        self._lock = threading.RLock()
        self._ended = False
        self._batches = 0
        self._steps = Counter[str]()
        self._points: list[Point] = []
        self._texts: dict[str, dict[str, str]] = {"params": {}, "tags": {}, "artifacts": {}}
        self._last_flush = time.monotonic()

    @property
    def ref(self) -> str:
        """What the run is called on the ledger, `run/4f1c…`."""
        return make_ref("run", self.id)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Note parameters; kept as text, the last value of each counts."""
        self._take("params", {name: str(value) for name, value in params.items()})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Note tags; kept as text, the last value of each counts."""
        self._take("tags", {name: str(value) for name, value in tags.items()})

    def log_metrics(self, values: Mapping[str, SupportsFloat], step: int | None = None) -> None:
        """Note measured values.

        Args:
            step: their place in the curve; one more than the last of each when not given. The same step again replaces.
        Raises:
            BadMetric: a value is no number; nothing of the call is kept.
        """
        numbers = {key: _number(key, value) for key, value in values.items()}
        with self._lock:
            self._check_open()
            at = self._project.clock.now()
            for key, value in numbers.items():
                place = self._steps[key] if step is None else step
                self._steps[key] = place + 1
                self._points.append((key, place, at, value))
        self._flush_when_due()

    def log_artifact(self, name: str, content: bytes | Path) -> str:
        """Keep bytes, or a file's content, under a name.

        Args:
            name: e.g. `curve.json` or `plots/roc.png`.
        Returns:
            The digest of the blob.
        Raises:
            BadName: the name could not stand in a path.
            DiskFull: nothing was kept.
        """
        for part in name.split("/"):
            check_name(part, "artifact name")
        blobs = self._project.blobs
        digest = blobs.put_file(content) if isinstance(content, Path) else blobs.put(content)
        self._take("artifacts", {name: digest})
        return digest

    def flush(self) -> None:
        """Write out all that waits, in one transaction."""
        with self._lock:
            if not self.done and (self._points or any(self._texts.values())):
                self._write("tracking.run_logged", {})

    def end(self, status: Status, error: str = "") -> None:
        """Write out all that waits and close the run. `start` does this."""
        with self._lock:
            self._check_open()
            if not self.done:
                closing = {"status": status, "error": error, "ended_at": self._project.clock.now()}
                self._write(f"tracking.run_{status}", closing)
            self._ended = True

    def _take(self, what: str, values: dict[str, str]) -> None:
        with self._lock:
            self._check_open()
            self._texts[what].update(values)
        self._flush_when_due()

    def _flush_when_due(self) -> None:
        if time.monotonic() - self._last_flush >= FLUSH_S:
            self.flush()

    def _check_open(self) -> None:
        if self._ended:
            raise RunEnded(
                f"The run {self.id} is over.",
                why="What is logged now would belong to no run.",
                fix="Log inside the `with tracking.start(...) as run:` block.",
                at=self.id,
            )

    def _write(self, kind: str, changes: dict[str, Any]) -> None:
        with self._project.ledger.transaction(kind, subject=self.ref, actor=self._project.actor) as tx:
            row = store.run_row(tx.connection, self.id) or {}
            values = {key: value for key, _, _, value in self._points}
            merged = {name: _merged(row[name], texts) for name, texts in self._texts.items()}
            tx.update(RUNS, {"id": self.id}, {**merged, "metrics": _merged(row["metrics"], values), **changes})
            if self._points:
                place = {"run": self.id, "attempt": self.attempt, "seq": self._batches}
                tx.insert(METRIC_BATCHES, {**place, "points": encode(self._points).decode()})
            for name, digest in self._texts["artifacts"].items():
                tx.edge(self.ref, make_ref("blob", digest), f"logged {name}")
            tx.data.update({"experiment": row["experiment"], "points": len(self._points), "metrics": values})
            tx.data.update({name: changes[name] for name in ("status", "error") if name in changes})
        self._batches += bool(self._points)
        self._points = []
        self._texts = {name: {} for name in self._texts}
        self._last_flush = time.monotonic()


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
    """
    live = _begin(project, check_name(experiment, "experiment"), name, key, _circumstances(project, inputs, seed))
    live.log_params(params or {})
    live.set_tags(tags or {})
    try:
        yield live
    except BaseException as error:
        live.end("failed", f"{type(error).__name__}: {error}")
        raise
    live.end("finished")


def _circumstances(project: Project, inputs: Sequence[str], seed: int | None) -> dict[str, Any]:
    code, surroundings = code_of(project.root), environment()
    return {
        "inputs": encode(list(inputs)).decode(),
        "seed": seed,
        "code_commit": code.commit,
        "code_diff": project.blobs.put(code.diff) if code.diff else "",
        "environment": project.blobs.put(encode(surroundings)),
        "lock": project.blobs.put(surroundings.lock().encode()),
        "actor": project.actor,
    }


class _Done(Exception):
    """The run was finished before; the transaction is given up."""


def _begin(project: Project, experiment: str, name: str, key: str | None, given: dict[str, Any]) -> LiveRun:
    id_ = uuid.uuid4().hex[:16] if key is None else digest_of_value(["run", experiment, key])[:16]
    known = _peek(project, id_)
    kind = "tracking.run_started" if known is None else "tracking.run_resumed"
    try:
        with project.ledger.transaction(kind, subject=make_ref("run", id_), actor=project.actor) as tx:
            attempt = _enter(tx, project, {"id": id_, "experiment": experiment, "name": name or id_[:6], **given})
            tx.data.update({"experiment": experiment, "name": name or id_[:6], "attempt": attempt})
    except _Done:
        return LiveRun(project, id_, int((_peek(project, id_) or {"attempt": 1})["attempt"]), done=True)
    return LiveRun(project, id_, attempt, done=False)


def _peek(project: Project, id_: str) -> dict[str, Any] | None:
    with project.database.reading() as connection:
        return store.run_row(connection, id_)


def _enter(tx: Transaction, project: Project, row: dict[str, Any]) -> int:
    """Write the run's row, new or for one more attempt; give the number of the attempt."""
    known = store.run_row(tx.connection, row["id"])
    ref = make_ref("run", row["id"])
    for source in decode(row["inputs"], list[str]):
        tx.edge(source, ref, "used")
    if known is not None and known["status"] == "finished":
        raise _Done
    opened = {"status": "running", "ended_at": None, "error": ""}
    if known is not None:
        attempt = int(known["attempt"]) + 1
        changes = {name: value for name, value in row.items() if name != "id"}
        tx.update(RUNS, {"id": row["id"]}, {**changes, **opened, "attempt": attempt})
        return attempt
    nothing = dict.fromkeys(("params", "metrics", "tags", "artifacts"), "{}")
    tx.insert(RUNS, {**row, **opened, **nothing, "started_at": project.clock.now(), "attempt": 1})
    return 1


def _merged(stored: str, new: Mapping[str, Any]) -> str:
    return encode({**decode(stored, dict[str, Any], what="run"), **new}).decode() if new else stored


def _number(key: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadMetric(
            f"The metric {key!r} is {value!r}, which is no number.",
            fix="Log texts with log_params or set_tags.",
            at=key,
        ) from error
