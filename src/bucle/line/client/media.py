"""Media: pictures, tables and pages that a run keeps beside its numbers.

Each kind knows how to become files; no library is asked for that is not there. An array becomes a PNG by our own
encoder, a matplotlib figure or a PIL picture by itself.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from bucle.ground.core import encode
from bucle.line.client.errors import BadMedia

__all__ = ["Figure", "Html", "Image", "Media", "Part", "Table", "as_media"]

PREVIEW_ROWS = 100
"""So many rows of a table stand beside it as JSON, for a page to show without reading it all."""

KINDS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
}
"""The first bytes of a picture and the ending of its file."""


class Part(NamedTuple):
    """One file of a medium.

    Attributes:
        ending: of its name, e.g. `png`.
        content: its bytes.
    """

    ending: str
    content: bytes


@runtime_checkable
class Media(Protocol):
    """Something that can be kept as files beside a run's numbers."""

    def parts(self) -> Iterator[Part]:
        """Its files, the one that matters first.

        Raises:
            BadMedia: what was given cannot be kept as this kind.
        """
        ...


class Image:
    """A picture.

    Args:
        picture: an array of shape (height, width) or (height, width, 1 to 4 channels), whole numbers 0 to 255, truth
            values, or floats 0 to 1; a PIL picture; a file; or the bytes of a PNG, JPEG, GIF or WebP.
    """

    def __init__(self, picture: Any) -> None:
        self._picture = picture

    def parts(self) -> Iterator[Part]:
        """The picture as one file: bytes as they are, all else as PNG. Raises BadMedia."""
        given = _content(self._picture)
        if isinstance(given, bytes):
            yield Part(_picture_ending(given), given)
        elif hasattr(given, "save") and hasattr(given, "mode"):
            yield Part("png", _saved(given.save, format="PNG"))
        else:
            yield Part("png", _png(_pixels(given)))


class Figure:
    """A drawing: of matplotlib, or ready-made.

    Args:
        drawing: a matplotlib figure (or anything with its `savefig`, or with a `figure` that has it), a file, or the
            bytes of a PNG or SVG.
        dpi: dots an inch when a figure is drawn.
    """

    def __init__(self, drawing: Any, *, dpi: int = 150) -> None:
        self._drawing = drawing
        self._dpi = dpi

    def parts(self) -> Iterator[Part]:
        """The drawing as one file. Raises BadMedia."""
        given = _content(self._drawing)
        if isinstance(given, bytes):
            yield Part("svg" if _is_svg(given) else _picture_ending(given), given)
            return
        figure = given if hasattr(given, "savefig") else getattr(given, "figure", None)
        if figure is None or not hasattr(figure, "savefig"):
            raise _bad("figure", given, "a matplotlib figure, or the bytes of a PNG or SVG")
        yield Part("png", _saved(figure.savefig, format="png", dpi=self._dpi, bbox_inches="tight"))


class Table:
    """Rows under named columns.

    Args:
        rows: a polars or pandas frame, a list of dicts, a dict of columns, or a list of rows with `columns`.
        columns: the names when `rows` holds plain lists.
    """

    def __init__(self, rows: Any, columns: Sequence[str] = ()) -> None:
        self._rows = rows
        self._columns = list(columns)

    def parts(self) -> Iterator[Part]:
        """Parquet, and the first rows as JSON; JSON lines instead when a column mixes kinds. Raises BadMedia."""
        frame = _frame(self._rows, self._columns)
        if frame is None:
            lines = [dict(row) for row in self._rows]
            yield Part("jsonl", b"".join(_line(row) + b"\n" for row in lines))
            columns = list(dict.fromkeys(name for row in lines for name in row))
            yield Part("preview.json", _preview(columns, lines, len(lines)))
            return
        yield Part("parquet", _saved(frame.write_parquet))
        yield Part("preview.json", _preview(frame.columns, frame.head(PREVIEW_ROWS).to_dicts(), frame.height))


class Html:
    """A page. It is kept as it is, and shown where it can reach nothing of ours.

    Args:
        page: its text, or a file.
    """

    def __init__(self, page: str | Path) -> None:
        self._page = page

    def parts(self) -> Iterator[Part]:
        """The page as one file. Raises BadMedia."""
        given = _content(self._page)
        content = given.encode() if isinstance(given, str) else given
        if not isinstance(content, bytes):
            raise _bad("page", given, "a text or a file")
        yield Part("html", content)


def as_media(value: object) -> Media | None:
    """A value as a medium when it is one, or is a figure, a picture or a frame of a library; None otherwise."""
    if isinstance(value, Media):
        return value
    library = type(value).__module__.partition(".")[0]
    if library == "matplotlib" and (hasattr(value, "savefig") or hasattr(value, "figure")):
        return Figure(value)
    if library == "PIL" and hasattr(value, "save"):
        return Image(value)
    if library in {"polars", "pandas"} and hasattr(value, "columns"):
        return Table(value)
    return None


def _content(given: Any) -> Any:
    """A file's bytes; anything else as it is."""
    if isinstance(given, Path):
        try:
            return given.read_bytes()
        except OSError as error:
            raise BadMedia(
                f"The file {given} cannot be read: {error.strerror}.", fix="Name a file that is there.", at=str(given)
            ) from error
    return bytes(given) if isinstance(given, bytearray | memoryview) else given


def _saved(save: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()


def _picture_ending(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    for start, ending in KINDS.items():
        if content.startswith(start):
            return ending
    raise BadMedia(
        f"The {len(content)} bytes given are no picture.",
        why="A picture is PNG, JPEG, GIF or WebP; a figure may be SVG as well.",
        fix="Give an array of pixels, or the bytes of such a file.",
    )


def _is_svg(content: bytes) -> bool:
    start = content[:1000].lstrip().lower()
    return start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!")) and b"<svg" in start)


def _pixels(given: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8[height, width, channels] of whatever looks like an array."""
    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4 or 0 in array.shape:
        raise _bad("picture", given, "an array of shape (height, width) or (height, width, 1 to 4)")
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = (array.min(), array.max()) if array.dtype.kind in "iuf" else (np.nan, np.nan)
    most = 1 if array.dtype.kind == "f" else 255
    if not (low >= 0 and high <= most):
        raise BadMedia(
            f"The picture's values go from {low} to {high}.",
            why="Whole numbers go from 0 to 255, floats from 0 to 1.",
            fix="Scale them first, e.g. (x - x.min()) / (x.max() - x.min())",
        )
    return np.round(array * 255).astype(np.uint8) if most == 1 else array.astype(np.uint8)


def _png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """PNG of uint8[height, width, 1 to 4 channels].

    Source: PNG specification, third edition (W3C, 2025), sections 5 and 9; filter 0, one IDAT chunk.
    """
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _frame(rows: Any, columns: list[str]) -> Any:
    """The rows as a polars frame; None when a column mixes kinds that no column can hold."""
    import polars as pl  # noqa: PLC0415  only who logs a table pays for it

    try:
        if isinstance(rows, pl.DataFrame):
            return rows
        if type(rows).__module__.startswith("pandas"):
            return pl.from_pandas(rows)
        if isinstance(rows, Mapping):
            return pl.DataFrame(dict(rows))
        if columns:
            return pl.DataFrame(list(rows), schema=columns, orient="row")
        if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
            return _of_dicts(rows)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise _bad(
            "table", rows, f"rows of equal columns ({str(error).splitlines()[0] if str(error) else ''})"
        ) from error
    raise _bad("table", rows, "a frame, a list of dicts, a dict of columns, or rows with `columns`")


def _of_dicts(rows: Sequence[Mapping[str, Any]]) -> Any:
    import polars as pl  # noqa: PLC0415

    if _is_mixed(rows):  # polars would make texts of the numbers
        return None
    try:
        return pl.DataFrame([dict(row) for row in rows], infer_schema_length=None, strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        return None


def _is_mixed(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column holds values of several kinds."""
    kinds: dict[str, type] = {}
    for row in rows:
        for name, value in row.items():
            kind = float if type(value) is int else type(value)
            if value is not None and kinds.setdefault(name, kind) is not kind:
                return True
    return False


def _preview(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], count: int) -> bytes:
    shown = [[_plain(row.get(name)) for name in columns] for row in rows[:PREVIEW_ROWS]]
    return encode({"columns": list(columns), "rows": shown, "count": count})


def _line(row: Mapping[str, Any]) -> bytes:
    return encode({str(name): _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def _bad(kind: str, given: Any, wanted: str) -> BadMedia:
    shape = getattr(given, "shape", None)
    told = f"{type(given).__name__}{f' of shape {tuple(shape)}' if shape is not None else ''}"
    return BadMedia(f"A {told} is no {kind}.", why=f"A {kind} is made of {wanted}.", fix="Turn it into one of those.")
