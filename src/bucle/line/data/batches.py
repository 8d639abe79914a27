"""Batches: rows of a commit that are larger than memory, read again part by part."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

__all__ = ["Batches", "parts"]

BYTES_PER_PART = 64 << 20
"""In memory, of the rows that are written at once; each part becomes a data file."""

_SAMPLE = 10_000


class Batches:
    """Rows behind a lazy frame, e.g. over Parquet files; never more than a part of them is in memory.

    Args:
        rows: must give the same rows each time it is read.
    """

    def __init__(self, rows: pl.LazyFrame) -> None:
        self._rows = rows
        self.schema = rows.collect_schema()
        self.height = int(rows.select(pl.len()).collect().item())

    @property
    def columns(self) -> list[str]:
        """Their names."""
        return self.schema.names()

    def head(self, rows: int) -> pl.DataFrame:
        """The first of them."""
        return self._rows.head(rows).collect()

    def lazy(self) -> pl.LazyFrame:
        """All of them, not read yet."""
        return self._rows

    def collect(self) -> pl.DataFrame:
        """All of them, in memory."""
        return self._rows.collect()

    def parts(self) -> Iterator[pl.DataFrame]:
        """All of them, part by part."""
        sample = self.head(_SAMPLE)
        rows = max(1, BYTES_PER_PART * max(1, sample.height) // max(1, int(sample.estimated_size())))
        for at in range(0, self.height, rows):
            yield self._rows.slice(at, rows).collect()


def parts(rows: pl.DataFrame | Batches, most: int) -> Iterator[pl.DataFrame]:
    """The rows in parts of at most `most`, in order; none of an empty batch."""
    for part in rows.parts() if isinstance(rows, Batches) else (rows,):
        for at in range(0, part.height, most):
            yield part.slice(at, most)
