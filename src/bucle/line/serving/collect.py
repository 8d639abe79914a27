"""Collect: move what an endpoint has logged into the table `predictions`, exactly once."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl

from bucle.ground.core import NotFound, digest_of_file, digest_of_value
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.serving.errors import EndpointFailed, NotRunning
from bucle.line.serving.frame import PREDICTION_COLUMNS, frame_of
from bucle.line.serving.process import ask, find_process
from bucle.line.serving.route import endpoint_folder
from bucle.line.serving.segment import Prediction, closed_segments, read_live, read_segment, segments
from bucle.line.serving.store import Segment, collected, note_segments

__all__ = ["PREDICTIONS", "collect", "live", "predictions"]

PREDICTIONS = "predictions"
"""The table that holds every prediction of every endpoint."""

_BATCH_BYTES = 64 << 20
_DYING_S = 5.0


def collect(project: Project, endpoint: str, *, branch: str = "main", rotate: bool = True) -> int:
    """Move the closed segments of an endpoint's log into the table `predictions`.

    The names of the segments are written in the transaction of the commit that holds their rows, and a segment is
    removed only after it. So a crash anywhere neither loses nor doubles a prediction.

    Args:
        branch: where the rows go.
        rotate: have a running endpoint close its segment first, so that all there is moves.
    Returns:
        How many rows were moved.
    Raises:
        SegmentDamaged: a segment's bytes were changed; nothing of it was moved.
    Cost: one commit per 64 MB of log.
    """
    folder = endpoint_folder(project.state, endpoint) / "log"
    if rotate:
        _rotate(project, endpoint, folder)
    with _alone(folder):
        paths = closed_segments(folder)
        before = collected(project, endpoint, [path.name for path in paths])
        for path in paths:
            if path.name in before:
                path.unlink(missing_ok=True)
        fresh = [path for path in paths if path.name not in before]
        return sum(_move(project, endpoint, batch, branch) for batch in _batches(fresh))


def live(project: Project, endpoint: str, since: str = "") -> tuple[pl.DataFrame, str]:
    """The predictions not collected yet, as a table; see `read_live`.

    Returns:
        The frame, with `PREDICTION_COLUMNS`, and the cursor to go on from.
    """
    found, cursor = read_live(endpoint_folder(project.state, endpoint) / "log", since)
    return frame_of(found), cursor


def predictions(
    project: Project,
    endpoint: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    at: str = "main",
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The predictions of an endpoint that were collected.

    A client that asks again under the same request id, because it never got the answer, is on record twice; the first
    answer of each version and arm is what counts here.

    Args:
        since: only those made at this instant or later (column `instant`).
        until: only those made before.
        at: a branch or commit.
        columns: which of `PREDICTION_COLUMNS`; all unless given.
    """
    wanted = list(columns or PREDICTION_COLUMNS)
    key = ["prediction_id", "model", "version", "arm"]
    where = pl.col("endpoint") == endpoint
    if since is not None:
        where &= pl.col("instant") >= since
    if until is not None:
        where &= pl.col("instant") < until
    needed = list(dict.fromkeys([*wanted, *key, "endpoint", "instant"]))
    try:
        found = data.scan(project, PREDICTIONS, at=at, columns=needed, where=where)
    except NotFound:
        return pl.DataFrame(schema={name: PREDICTION_COLUMNS[name] for name in wanted})
    return found.unique(key, keep="first", maintain_order=True).select(wanted)


def _rotate(project: Project, endpoint: str, folder: Path) -> None:
    """Have all there is in closed segments. A process that hangs keeps its segment; it is collected the next time."""
    process = find_process(project.state, endpoint)
    if process is not None:
        try:
            ask(process, "/bucle/rotate")
        except EndpointFailed:
            return
        except NotRunning:
            pass
        else:
            return
    # Who writes and does not answer is dying: the kernel takes a moment to give its lock back.
    until = time.monotonic() + _DYING_S
    while time.monotonic() < until and len(closed_segments(folder)) < len(segments(folder)):
        time.sleep(0.01)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One collector at a time. The kernel gives the lock back when its holder dies, so the next need not wait."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "collect.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _batches(paths: Sequence[Path]) -> Iterator[list[Path]]:
    batch, size = list[Path](), 0
    for path in paths:
        batch.append(path)
        size += path.stat().st_size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _move(project: Project, endpoint: str, paths: Sequence[Path], branch: str) -> int:
    now, moved, found = project.clock.now(), list[Segment](), list[Prediction]()
    for path in paths:
        fresh, _ = read_segment(path)
        found += fresh
        moved.append(
            Segment(
                endpoint=endpoint,
                segment=path.name,
                digest=digest_of_file(path),
                rows=sum(prediction.rows for prediction in fresh),
                collected_at=now,
            )
        )
    rows = sum(segment.rows for segment in moved)
    if rows:
        _commit(project, endpoint, frame_of(found), moved, branch)
    for path in paths:
        path.unlink(missing_ok=True)
    return rows


def _commit(project: Project, endpoint: str, frame: pl.DataFrame, moved: Sequence[Segment], branch: str) -> None:
    data.commit(
        project,
        {PREDICTIONS: frame},
        branch=branch,
        message=f"Predictions of {endpoint}: {frame.height} rows",
        key=f"collect/{endpoint}/{digest_of_value([[segment.segment, segment.digest] for segment in moved])}",
        also=lambda transaction: note_segments(transaction, moved),
    )
