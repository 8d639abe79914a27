"""Answer: the rows of a query, and of which commits they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa

from bucle.ground.core import Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "Limits"]


class Limits(Record, frozen=True):
    """What a query may take.

    Attributes:
        rows: at most so many are given; None for all.
        memory_mb: of the engine, and of the answer.
        timeout_s: seconds until it is stopped.
        threads: how many it runs on; 0 means one a core.
    """

    rows: int | None = None
    memory_mb: int = 2048
    timeout_s: float = 300.0
    threads: int = 0


@dataclass(frozen=True)
class Answer:
    """The rows of a query.

    Attributes:
        table: the rows, in Arrow.
        commits: table as it was named -> the commit it was read at: with these, the same query gives the same rows.
        masked: table as it was named -> its columns that were masked.
        is_cut: whether there are more rows than were asked for.
    """

    table: pa.Table
    commits: dict[str, str]
    masked: dict[str, tuple[str, ...]]
    is_cut: bool

    @property
    def columns(self) -> dict[str, str]:
        """Name -> Arrow type."""
        return {field.name: str(field.type) for field in self.table.schema}

    def arrow(self) -> pa.Table:
        """As an Arrow table."""
        return self.table

    def polars(self) -> pl.DataFrame:
        """As a Polars frame; a second column of one name gets a number."""
        return cast(pl.DataFrame, pl.from_arrow(_distinct(self.table)))

    def pandas(self) -> pd.DataFrame:
        """As a pandas frame; pandas must be installed."""
        return cast("pd.DataFrame", self.table.to_pandas())

    def rows(self) -> list[dict[str, Any]]:
        """As mappings."""
        return self.polars().to_dicts()


def _distinct(table: pa.Table) -> pa.Table:
    names = list[str]()
    for name in table.column_names:
        number, made = 1, name
        while made in names:
            number += 1
            made = f"{name}_{number}"
        names.append(made)
    return table if names == table.column_names else table.rename_columns(names)
