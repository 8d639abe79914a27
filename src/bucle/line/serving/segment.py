"""Segments: every prediction, appended to a file before its answer leaves the house.

A segment is a magic word and then frames: length, CRC-32 of the payload, CRC-32 of these two, the payload in
MessagePack. What `os.write` has taken, a `kill -9` cannot take back; a frame that was cut short by it is the last one
and is left out when reading. Any other frame that does not verify was changed afterwards, and reading says so.

While a process writes a segment it holds a lock on it, which the kernel gives back when the process dies. So a segment
is closed exactly when nobody holds its lock, whatever happened.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from bucle.ground.core import Record
from bucle.line.serving.errors import LogUnwritable, SegmentDamaged

__all__ = ["Prediction", "PredictionLog", "closed_segments", "read_live", "read_segment", "read_segments", "segments"]

_MAGIC = b"BUCLEP01"
_HEAD = struct.Struct("<II")
_CHECK = struct.Struct("<I")
_FRAME = _HEAD.size + _CHECK.size
_SUFFIX = ".seg"


class Prediction(Record, frozen=True):
    """What one version said to one request.

    Attributes:
        request_id: the request; with the row number it is the prediction's id.
        at: when it was answered, by the server's clock.
        endpoint: which endpoint.
        model: which model.
        version: which version.
        package: the digest of its package.
        arm: `champion`, `canary`, …; `fallback` when the champion stepped in for a failing canary; `direct` when the
            client named the version; `shadow` when nobody saw it.
        routing_key: what decided the arm.
        status: `ok` or `error`.
        error: what failed, empty when `ok`.
        latency_us: how long it took on the machine's clock, reading the request included.
        rows: how many rows.
        ids: the entity column's values; empty when the package names none.
        instants: when each row's prediction was made in the world's time: the instant column, or the moment of arrival.
        request: the client's columns.
        features: the columns feature views added.
        outputs: the model's answer by output, one value (or list) a row.
        score: the output that is the score, empty when there is none.
    """

    request_id: str
    at: datetime
    endpoint: str
    model: str
    version: int
    package: str
    arm: str
    routing_key: str
    status: str
    error: str
    latency_us: int
    rows: int
    ids: list[str]
    instants: list[datetime]
    request: dict[str, list[Any]]
    features: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    score: str


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Prediction)


class PredictionLog:
    """The writing end. One process, one thread.

    Args:
        folder: where segments lie; made when missing.
        max_bytes: a segment beyond this size is closed.
        max_age_s: and after this time.
    """

    def __init__(self, folder: Path, *, max_bytes: int, max_age_s: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._handle = -1
        self._size = 0
        self._opened = 0.0
        self._synced = 0

    def append(self, *predictions: Prediction) -> None:
        """Keep predictions, all or none.

        Raises:
            LogUnwritable: the disk is full or failing; nothing was kept.
        """
        data = b"".join(map(_framed, predictions))
        try:
            if self._handle < 0:
                self._open()
            self._write(data)
        except OSError as error:
            raise LogUnwritable(
                f"The prediction log in {self._folder} cannot be written: {error.strerror}.",
                why="An answer that is not on record is not given.",
                fix="Free some space on that disk; the endpoint then goes on by itself.",
            ) from error
        if self._size >= self._max_bytes:
            self.rotate()

    def rotate(self) -> None:
        """Close the segment, so that it can be collected. The next prediction opens another."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            os.close(handle)

    def tend(self) -> None:
        """Close a segment that is old enough."""
        if self._handle >= 0 and time.monotonic() - self._opened >= self._max_age_s:
            self.rotate()

    def sync(self) -> None:
        """Bring what was appended to the disk: a power cut loses at most what came since. May run in a thread."""
        size = self._size
        if self._handle < 0 or size == self._synced:
            return
        with contextlib.suppress(OSError):  # closed meanwhile
            handle = os.dup(self._handle)
            try:
                os.fdatasync(handle)
            finally:
                os.close(handle)
            self._synced = size

    def _open(self) -> None:
        name = f"{time.time_ns() // 1000:016d}-{os.getpid()}{_SUFFIX}"
        fresh = self._folder / f"{name}.new"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            # Locked before it can be seen: nobody may take it for a dead process's.
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.write(handle, _MAGIC)
            fresh.rename(self._folder / name)
        except OSError:
            os.close(handle)
            fresh.unlink(missing_ok=True)
            raise
        self._handle, self._size, self._synced, self._opened = handle, len(_MAGIC), 0, time.monotonic()

    def _write(self, data: bytes) -> None:
        written = os.write(self._handle, data)
        if written != len(data):
            os.ftruncate(self._handle, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written


def segments(folder: Path) -> list[Path]:
    """Every segment, oldest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def closed_segments(folder: Path) -> list[Path]:
    """The segments that no living process writes, oldest first."""
    return [path for path in segments(folder) if _is_closed(path)]


def read_segment(path: Path, offset: int = 0) -> tuple[list[Prediction], int]:
    """What a segment holds from an offset on.

    Returns:
        The predictions and the offset after the last whole one.
    Raises:
        SegmentDamaged: its bytes were changed.
    """
    data = path.read_bytes()
    at = offset or len(_MAGIC)
    if not data.startswith(_MAGIC[: len(data)]):
        raise _damaged(path, 0)
    found: list[Prediction] = []
    for payload, end in _frames(path, data, at):
        found.append(_decoded(path, payload, at))
        at = end
    return found, at


def read_segments(folder: Path) -> list[Prediction]:
    """Every prediction in the segments of a folder, oldest first.

    Raises:
        SegmentDamaged: a segment's bytes were changed.
    """
    return read_live(folder, "")[0]


def read_live(folder: Path, since: str = "") -> tuple[list[Prediction], str]:
    """The predictions not collected yet, for whoever cannot wait.

    Args:
        folder: the endpoint's log.
        since: the cursor an earlier call gave; empty reads all there is.
    Returns:
        The new predictions and the cursor to go on from. What was collected since then is not among them.
    Raises:
        SegmentDamaged: a segment's bytes were changed.
    """
    name, _, offset = since.partition(":")
    found: list[Prediction] = []
    for path in segments(folder):
        if path.name < name:
            continue
        try:
            fresh, end = read_segment(path, int(offset) if path.name == name else 0)
        except FileNotFoundError:  # collected this moment
            continue
        found += fresh
        since = f"{path.name}:{end}"
    return found, since


def _framed(prediction: Prediction) -> bytes:
    payload = _ENCODER.encode(prediction)
    head = _HEAD.pack(len(payload), crc32(payload))
    return head + _CHECK.pack(crc32(head)) + payload


def _frames(path: Path, data: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """The whole frames from `at` on with where each ends."""
    while at + _FRAME <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        start = at + _FRAME
        if _CHECK.unpack_from(data, at + _HEAD.size)[0] != crc32(data[at : at + _HEAD.size]):
            if not any(data[at:]):  # zeros that a power cut left at the end
                return
            raise _damaged(path, at)
        if start + length > len(data):
            return
        payload = data[start : start + length]
        if crc32(payload) != checksum:
            raise _damaged(path, at)
        at = start + length
        yield payload, at


def _decoded(path: Path, payload: bytes, at: int) -> Prediction:
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise _damaged(path, at) from error


def _is_closed(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _damaged(path: Path, at: int) -> SegmentDamaged:
    return SegmentDamaged(
        f"The prediction log's segment {path} was changed at byte {at}.",
        why="A disk fault or an edit by hand; what follows cannot be trusted.",
        fix="Restore that file from a backup, or move it away to go on without it.",
        at=str(path),
    )
