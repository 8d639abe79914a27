"""Artifact: a frame, an array, bytes or a file in the blob store, and how each kind is written and read."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from bucle.ground.core import digest_of_file, encode, short
from bucle.ground.store import Blobs
from bucle.line.pipelines.errors import ValueNotKept
from bucle.line.pipelines.shape import Kind, Leaf, is_bulk

__all__ = ["Artifact", "exact_json", "keep_leaf", "read_kind", "read_leaf"]

_NAMES: dict[Kind, str] = {"frame": "pl.DataFrame", "array": "np.ndarray", "bytes": "bytes", "file": "Path", "json": ""}


class Artifact:
    """An output a pipeline's body holds without having read it: handed to the next step it travels as its digest.

    `load()` gives the value. Any use of it as the value (an attribute, an index, `len`) loads it too.

    Args:
        blobs: where it lies.
        kind: how it is written.
        digest: its name.
    """

    __slots__ = ("_blobs", "_loaded", "digest", "kind")

    def __init__(self, blobs: Blobs, kind: Kind, digest: str) -> None:
        self._blobs = blobs
        self._loaded: list[Any] = []
        self.kind = kind
        self.digest = digest

    def load(self) -> Any:
        """The value, read once.

        Raises:
            BlobMissing: it was removed.
            BlobCorrupt: it was damaged.
        """
        if not self._loaded:
            self._loaded.append(read_kind(self._blobs, self.kind, self.digest))
        return self._loaded[0]

    def __repr__(self) -> str:
        return f"Artifact({self.kind}, {short(self.digest)})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.load(), name)

    def __getitem__(self, item: Any) -> Any:
        return self.load()[item]

    def __len__(self) -> int:
        return len(self.load())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.load())

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return np.asarray(self.load(), *args, **kwargs)

    def __bytes__(self) -> bytes:
        return bytes(self.load())

    def __fspath__(self) -> str:
        return str(self.load())


def _check_leaf(leaf: Leaf, value: object, where: str) -> None:
    """Refuse a value of another kind than annotated.

    Raises:
        ValueNotKept: e.g. a str where a frame is annotated.
    """
    kind = value.kind if isinstance(value, Artifact) else is_bulk(value)
    if leaf.kind not in ("json", kind):
        raise ValueNotKept(
            f"{where} is a {type(value).__name__}; it is annotated {_NAMES[leaf.kind]}.",
            why="What goes between steps is kept by its annotation.",
            fix=f"Pass a {_NAMES[leaf.kind]}, or change the annotation.",
            at=where,
        )


def keep_leaf(blobs: Blobs, leaf: Leaf, value: Any, *, where: str, scratch: Path) -> str:
    """Write a value into the blob store.

    Args:
        where: what it is, for the message.
        scratch: a folder on the store's file system where a big value is first written.
    Returns:
        The digest; equal values of the same shape have the same one.
    Raises:
        ValueNotKept: the value cannot be written down exactly.
        DiskFull: nothing was kept.
    """
    _check_leaf(leaf, value, where)
    if isinstance(value, Artifact):
        return value.digest
    if leaf.kind == "json":
        return blobs.put(exact_json(value, leaf.type, where))
    if leaf.kind == "bytes":
        return blobs.put(value)
    if leaf.kind == "array":
        return _keep_array(blobs, value, where)
    if leaf.kind == "frame":
        return _keep_frame(blobs, value, where, scratch)
    return _keep_file(blobs, value, where, scratch)


def read_leaf(blobs: Blobs, leaf: Leaf, digest: str) -> Any:
    """The value `keep_leaf` wrote.

    Raises:
        BlobMissing: it was removed.
        BlobCorrupt: it was damaged.
        ValueNotKept: JSON of another type than annotated.
    """
    if leaf.kind != "json":
        return read_kind(blobs, leaf.kind, digest)
    try:
        return msgspec.json.decode(blobs.get(digest), type=leaf.type)
    except (msgspec.DecodeError, TypeError) as error:
        raise ValueNotKept(
            f"The value {short(digest)} is no {leaf.type}: {error}.",
            why="It was kept under another annotation.",
            fix="Ask for the type it was kept as.",
        ) from error


def read_kind(blobs: Blobs, kind: Kind, digest: str) -> Any:
    """The value of a blob by the way it was written."""
    readers: dict[Kind, Callable[[str], Any]] = {
        "json": lambda name: msgspec.json.decode(blobs.get(name)),
        "bytes": blobs.get,
        "array": lambda name: np.load(io.BytesIO(blobs.get(name)), allow_pickle=False),
        "frame": lambda name: _read_frame(blobs.path(name)),
        "file": blobs.path,
    }
    return readers[kind](digest)


def _read_frame(path: Path) -> pl.DataFrame:
    """The frame in a file, by memory map: what nobody looks at is not read, and numbers are not copied."""
    import pyarrow as pa  # noqa: PLC0415  slow to load, and 26 MB
    import pyarrow.ipc  # noqa: PLC0415

    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"{path} holds no table")
    return frame


def exact_json(value: Any, type_: Any, where: str) -> bytes:
    """Canonical JSON that reads back as the annotated type; what it would change silently is refused."""
    try:
        _refuse_what_json_cannot_say(msgspec.to_builtins(value))
        data = encode(value)
        msgspec.json.decode(data, type=type_)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueNotKept(
            f"{where} is a {type(value).__name__} that cannot be kept as {type_}: {error}.",
            why="It must come back from JSON exactly as it was.",
            fix="Return plain finite values, a Record, or a frame, array or bytes; annotate it as such.",
            at=where,
        ) from error
    return data


def _refuse_what_json_cannot_say(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"JSON has no {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"{value} has more than 64 bits")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            _refuse_what_json_cannot_say(part)


def _keep_array(blobs: Blobs, value: np.ndarray[Any, Any], where: str) -> str:
    buffer = io.BytesIO()
    try:
        np.save(buffer, np.ascontiguousarray(value) if value.ndim else value, allow_pickle=False)
    except ValueError as error:
        raise ValueNotKept(
            f"{where} is an array of {value.dtype} that cannot be kept: {error}.",
            why="Arrays of Python objects would need pickle.",
            fix="Give it a plain dtype.",
            at=where,
        ) from error
    return blobs.put(buffer.getbuffer().tobytes())


def _keep_frame(blobs: Blobs, value: pl.DataFrame, where: str, scratch: Path) -> str:
    target = scratch / f"{where.replace('/', '_')[:80]}.arrow"
    try:
        _canonical(value).write_ipc(target, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
    except pl.exceptions.PolarsError as error:
        target.unlink(missing_ok=True)
        raise ValueNotKept(
            f"{where} is a frame that cannot be kept: {error}.",
            why="Frames are kept as Arrow IPC files.",
            fix="Cast or drop columns of Python objects.",
            at=where,
        ) from error
    return blobs.adopt(target)


def _canonical(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame laid out anew where equal values may have other bytes, so that equal frames have equal digests.

    That is: one chunk (and, on writing, the oldest layout, as string views keep the history of how they were made);
    what lies under nulls and behind the last bit of a bitmap, which a gather writes anew. A struct that is null as a
    whole keeps what lies under it.
    """
    frame = frame.rechunk()
    return frame.select(_anew(frame[name]) if _may_differ(frame[name]) else pl.col(name) for name in frame.columns)


def _may_differ(series: pl.Series) -> bool:
    return series.dtype == pl.Boolean or series.dtype.is_nested() or series.null_count() > 0


def _anew(series: pl.Series) -> pl.Expr:
    column, everywhere = pl.col(series.name), pl.int_range(pl.len(), dtype=pl.UInt32)
    if series.dtype == pl.Boolean:
        # By way of numbers: the gather of a single bit leaves the other seven of its byte as they were.
        return (column.cast(pl.UInt8).gather(everywhere) == 1).alias(series.name)
    if series.dtype in (pl.String, pl.Binary):
        empty = pl.lit("" if series.dtype == pl.String else b"")
        column = pl.when(column.is_not_null()).then(column.fill_null(empty))
    if series.dtype == pl.List:
        # The values within have a bitmap of their own, which the gather of the lists leaves as it was.
        column = column.list.eval(pl.element().gather(pl.int_range(pl.len(), dtype=pl.UInt32)))
    return column.gather(everywhere).alias(series.name)


def _keep_file(blobs: Blobs, value: Path, where: str, scratch: Path) -> str:
    if not value.is_file():
        raise ValueNotKept(
            f"{where} is the path {value}, where no file lies.",
            why="A Path stands for the file's content.",
            fix="Write the file before you return its path; a step works in a folder of its own.",
            at=where,
        )
    if value.resolve().is_relative_to(scratch.resolve()) and not value.is_symlink() and value.stat().st_nlink == 1:
        return blobs.adopt(value)
    digest = digest_of_file(value)
    if blobs.has(digest):
        return digest
    copy = scratch / f"{where.replace('/', '_')[:80]}.copy"
    shutil.copyfile(value, copy)
    return blobs.adopt(copy)
