"""What is known about a flight at its scheduled departure.

Nothing here may depend on the flight itself having departed. Delay rates come from arrivals of *other* flights that
were known before; `bucle feature check` proves that no view knows the future.
"""

from datetime import timedelta

import polars as pl

from bucle.line.features import Source, feature_view, request_view

NEW_YORK = "America/New_York"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INSTANT_BEFORE = timedelta(microseconds=1)


@feature_view(keys=["tailnum"], schema={"plane_year": pl.Float32, "seats": pl.Float32}, sources=["planes"])
def aircraft(planes: pl.DataFrame) -> pl.DataFrame:
    """The aircraft: when it was built, how many seats."""
    return planes.select("tailnum", _always(), plane_year=_number("year"), seats=_number("seats"))


@feature_view(keys=["dest"], schema={"dest_tz": pl.Float32, "dest_has_dst": pl.Boolean}, sources=["airports"])
def destination(airports: pl.DataFrame) -> pl.DataFrame:
    """The destination's clock: hours from UTC in winter, and whether it changes in summer."""
    return airports.select(_always(), dest="faa", dest_tz=_number("tz"), dest_has_dst="has_dst")


@request_view(
    inputs=["sched_dep_at", "sched_arr_local", "dest_tz", "dest_has_dst"],
    schema=dict.fromkeys(["hour", "minute_of_day", "dow", "sched_min"], pl.Float32),
)
def calendar(flight: pl.DataFrame) -> pl.DataFrame:
    """Local hour, minute of the day, day of the week (1 is Monday), scheduled duration in minutes."""
    local = pl.col("sched_dep_at").dt.convert_time_zone(NEW_YORK)
    departs = local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute()
    arrives = (pl.col("sched_arr_local") // 100) * 60 + pl.col("sched_arr_local") % 100
    summer = pl.when(pl.col("dest_has_dst")).then(0).otherwise(local.dt.dst_offset().dt.total_minutes())
    flown = (arrives - departs - (pl.col("dest_tz") + 5) * 60) % 1440 + summer
    return flight.select(
        hour=local.dt.hour().cast(pl.Float32),
        minute_of_day=departs.cast(pl.Float32),
        dow=local.dt.weekday().cast(pl.Float32),
        sched_min=flown.cast(pl.Float32),
    )


WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


@feature_view(
    keys=["origin"],
    schema=dict.fromkeys(WEATHER, pl.Float32),
    sources=[Source("weather", known_at="observed_at")],
    ttl=3 * HOUR,
    lookback=3 * HOUR,
)
def weather_at_origin(weather: pl.DataFrame) -> pl.DataFrame:
    """The last weather observed at the airport of departure."""
    return weather.select("origin", pl.col("observed_at").alias("event_at"), pl.col(WEATHER).cast(pl.Float32))


ARRIVALS = [Source("arrivals", known_at="known_at"), Source("flights")]


@feature_view(
    keys=["carrier"],
    schema=dict.fromkeys(["carrier_delay_7d", "carrier_late_28d"], pl.Float32),
    sources=ARRIVALS,
    ttl=DAY - INSTANT_BEFORE,
    lookback=30 * DAY,
)
def carrier_days(arrivals: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """How late the carrier's flights have been over weeks, renewed each midnight UTC."""
    rates = {"carrier_delay_7d": ("delay", 7), "carrier_late_28d": ("late", 28)}
    return _rates(arrivals, flights, ["carrier"], DAY, rates)


@feature_view(
    keys=["origin"],
    schema={"origin_delay_7d": pl.Float32},
    sources=ARRIVALS,
    ttl=DAY - INSTANT_BEFORE,
    lookback=9 * DAY,
)
def origin_days(arrivals: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """How late flights from the airport have been over a week, renewed each midnight UTC."""
    return _rates(arrivals, flights, ["origin"], DAY, {"origin_delay_7d": ("delay", 7)})


@feature_view(
    keys=["origin", "dest"],
    schema=dict.fromkeys(["route_delay_28d", "route_late_28d"], pl.Float32),
    sources=ARRIVALS,
    ttl=DAY - INSTANT_BEFORE,
    lookback=30 * DAY,
)
def route_days(arrivals: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """How late flights on the route have been over four weeks, renewed each midnight UTC."""
    rates = {"route_delay_28d": ("delay", 28), "route_late_28d": ("late", 28)}
    return _rates(arrivals, flights, ["origin", "dest"], DAY, rates)


@feature_view(
    keys=["carrier"],
    schema=dict.fromkeys(["carrier_delay_3h", "carrier_late_3h"], pl.Float32),
    sources=ARRIVALS,
    ttl=HOUR - INSTANT_BEFORE,
    lookback=5 * HOUR,
)
def carrier_hours(arrivals: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """How late the carrier's flights are just now, renewed each hour."""
    rates = {"carrier_delay_3h": ("delay", 3), "carrier_late_3h": ("late", 3)}
    return _rates(arrivals, flights, ["carrier"], HOUR, rates)


@feature_view(
    keys=["origin"],
    schema=dict.fromkeys(["origin_delay_3h", "origin_late_3h", "origin_known_3h"], pl.Float32),
    sources=ARRIVALS,
    ttl=HOUR - INSTANT_BEFORE,
    lookback=5 * HOUR,
)
def origin_hours(arrivals: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """How late flights from the airport are just now, and how many that is told from, renewed each hour."""
    rates = {"origin_delay_3h": ("delay", 3), "origin_late_3h": ("late", 3), "origin_known_3h": ("n", 3)}
    return _rates(arrivals, flights, ["origin"], HOUR, rates)


@feature_view(
    keys=["carrier", "origin"],
    schema=dict.fromkeys(["here_delay_6h", "here_late_6h"], pl.Float32),
    sources=ARRIVALS,
    ttl=HOUR - INSTANT_BEFORE,
    lookback=8 * HOUR,
)
def carrier_here(arrivals: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """How late the carrier's flights from this airport are just now, renewed each hour."""
    rates = {"here_delay_6h": ("delay", 6), "here_late_6h": ("late", 6)}
    return _rates(arrivals, flights, ["carrier", "origin"], HOUR, rates)


VIEWS = [
    aircraft, destination, calendar, weather_at_origin, carrier_days, origin_days, route_days, carrier_hours,
    origin_hours, carrier_here,
]  # fmt: skip
"""Every view, in the order the model's inputs follow."""


def _always() -> pl.Expr:
    """A row that has always held: the table does not change with time."""
    return pl.lit(0, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")).alias("event_at")


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float32)


def _rates(
    arrivals: pl.DataFrame, flights: pl.DataFrame, keys: list[str], every: timedelta, rates: dict[str, tuple[str, int]]
) -> pl.DataFrame:
    """Rates over trailing windows, one row per key and tick.

    Args:
        every: the time between ticks; the row of a tick is made of arrivals known before it.
        rates: feature -> what (`late`: share late, `delay`: mean minutes, `n`: count) and over how many ticks.
    Returns:
        Columns: keys, event_at, features. No row where nothing is known.
    """
    ticks = _per_tick(arrivals, flights, keys, every, longest=max(length for _, length in rates.values()))
    total = {
        (what, length): pl.col(what).rolling_sum(length, min_samples=1).over(keys)
        for length in {length for _, length in rates.values()}
        for what in ("n", "late", "delay")
    }
    columns = [_rate(total, what, length).cast(pl.Float32).alias(name) for name, (what, length) in rates.items()]
    return ticks.select(*keys, "event_at", *columns).filter(pl.col(next(iter(rates))).is_not_null())


def _rate(total: dict[tuple[str, int], pl.Expr], what: str, length: int) -> pl.Expr:
    count = total["n", length]
    return count if what == "n" else pl.when(count > 0).then(total[what, length] / count)


def _per_tick(
    arrivals: pl.DataFrame, flights: pl.DataFrame, keys: list[str], every: timedelta, *, longest: int
) -> pl.DataFrame:
    """How many arrivals became known, how many late, and the sum of delays, for every key and every tick."""
    delay = pl.col("arr_delay").clip(-60, 240)
    known = (
        arrivals.join(flights.select("flight_id", *keys), on="flight_id")
        .group_by(*keys, event_at=pl.col("known_at").dt.truncate(every) + every)
        .agg(n=pl.len(), late=pl.col("late").sum(), delay=delay.sum())
        .cast(dict.fromkeys(("n", "late", "delay"), pl.Float64))
    )
    if known.is_empty():
        return known
    first, last = known["event_at"].min(), known["event_at"].max() + longest * every
    ticks = pl.DataFrame({"event_at": pl.datetime_range(first, last, every, time_zone="UTC", eager=True)})
    every_key = known.select(keys).unique().join(ticks, how="cross")
    grid = every_key.join(known, on=[*keys, "event_at"], how="left")
    return grid.with_columns(pl.col("n", "late", "delay").fill_null(0.0)).sort(*keys, "event_at")
