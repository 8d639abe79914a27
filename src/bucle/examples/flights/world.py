"""The world outside: what the airlines, the weather service and the airports of New York sent in 2013."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import resources
from pathlib import Path

import polars as pl

__all__ = ["HOUR", "FlightsWorld", "Question", "month_start", "spoilt"]

HOUR = timedelta(hours=1)
_ASKED = ["flight_id", "carrier", "tailnum", "origin", "dest", "sched_dep_at", "sched_arr_local", "distance"]


class Question:
    """What an airport's screen asks each hour: will these departures arrive late?

    Attributes:
        id: unique and always the same: hour and airport.
        at: the hour.
        columns: one list a column, as the endpoint's request signature names them.
    """

    __slots__ = ("at", "columns", "id")

    def __init__(self, at: datetime, origin: str, rows: pl.DataFrame) -> None:
        self.id = f"{at:%Y-%m-%dT%H}-{origin}"
        self.at = at
        self.columns: Mapping[str, list[object]] = rows.select(
            pl.col(_ASKED).exclude("sched_dep_at", "distance"),
            pl.col("sched_dep_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            pl.col("distance").cast(pl.Float64),
        ).to_dict(as_series=False)


class FlightsWorld:
    """The recorded year, a month at a time.

    Args:
        folder: the Parquet files; the packaged ones unless given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(str(resources.files("bucle.examples.flights") / "data"))

    def fixed(self) -> dict[str, pl.DataFrame]:
        """What does not change with time: aircraft and airports."""
        return {name: self._read(name) for name in ("planes", "airports")}

    def month(self, month: int) -> dict[str, pl.DataFrame]:
        """The batch of a month, 1 to 12, in UTC: schedule, weather, arrivals.

        It lands as one commit. Every row of weather and arrivals says when it became known, and nothing that is
        computed for an instant sees a row that became known later.
        """
        flights = self._of_month("flights", "sched_dep_at", month)
        arrivals = self._all("arrivals").join(flights.select("flight_id"), on="flight_id", how="semi")
        return {"flights": flights, "weather": self._of_month("weather", "observed_at", month), "arrivals": arrivals}

    def questions(self, month: int) -> Iterator[Question]:
        """Every question of a month, hour by hour, airport by airport."""
        flights = self._of_month("flights", "sched_dep_at", month).sort("sched_dep_at", "flight_id")
        hours = flights.with_columns(hour=pl.col("sched_dep_at").dt.truncate("1h"))
        for (hour, origin), rows in hours.group_by("hour", "origin", maintain_order=True):
            yield Question(_instant(hour), str(origin), rows)

    @cached_property
    def _tables(self) -> dict[str, pl.DataFrame]:
        return {name: self._read(name) for name in ("flights", "weather", "arrivals")}

    def _all(self, name: str) -> pl.DataFrame:
        return self._tables[name]

    def _of_month(self, name: str, column: str, month: int) -> pl.DataFrame:
        inside = pl.col(column).is_between(month_start(month), month_start(month + 1), closed="left")
        return self._all(name).filter(inside)

    def _read(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self._folder / f"{name}.parquet")


def month_start(month: int) -> datetime:
    """The first instant of a month of 2013, in UTC; 13 is January 2014."""
    return datetime(2013 + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


def spoilt(batch: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The batch as if the weather service had changed from Fahrenheit to Celsius without a word."""
    celsius = ((pl.col("temp") - 32) / 1.8).alias("temp")
    return {**batch, "weather": batch["weather"].with_columns(celsius)}


def _instant(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value
