"""Summarising the prediction log, beside the least work that could count the same columns.

Both run on the same rows in the same process, in turns; the ratio is what counts. The yardstick is one raw Polars
select for the counts of the categories and one `numpy.histogram` a numeric column: no versions told apart, no nulls, no
means, no labels, no latencies.

    python benchmarks/monitoring.py [rows] [features]
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from bucle.line import monitoring

SINCE = datetime(2013, 3, 1, tzinfo=UTC)
UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
REPEATS = 5


def make_log(rows: int, features: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(0)
    categorical = features // 4
    names = np.array([f"category {number}" for number in range(30)])
    columns: dict[str, object] = {f"x{i}": rng.normal(size=rows) for i in range(features - categorical)}
    columns |= {f"c{i}": pl.Series(names[rng.integers(0, 30, rows)]) for i in range(categorical)}
    score = rng.beta(2, 6, rows)
    canary = rng.random(rows) < 0.1
    frame = pl.DataFrame(
        {
            "endpoint": pl.repeat("flights", rows, eager=True),
            "model": pl.repeat("delay", rows, eager=True),
            "version": 1 + canary.astype(np.int64),
            "arm": pl.Series(np.where(canary, "canary", "champion")),
            "row": np.zeros(rows, dtype=np.int64),
            "at": pl.repeat(SINCE, rows, dtype=pl.Datetime("us", "UTC"), eager=True),
            "instant": pl.repeat(SINCE, rows, dtype=pl.Datetime("us", "UTC"), eager=True),
            "entity": pl.int_range(rows, eager=True).cast(pl.String),
            "status": pl.repeat("ok", rows, eager=True),
            "latency_us": rng.lognormal(7, 0.5, rows).astype(np.int64),
            "score": score,
        }
    )
    labels = pl.DataFrame(
        {
            "entity": frame["entity"],
            "label": rng.random(rows) < score,
            "known_at": pl.repeat(SINCE + timedelta(hours=5), rows, dtype=pl.Datetime("us", "UTC"), eager=True),
        }
    )
    return frame, pl.DataFrame(columns), labels


def yardstick(features: pl.DataFrame, profile: monitoring.Profile) -> None:
    categorical = [feature.name for feature in profile.features if feature.kind == "categorical"]
    features.select(pl.col(name).value_counts().implode() for name in categorical)
    for feature in profile.features:
        if feature.kind == "numeric":
            np.histogram(features[feature.name].to_numpy(), bins=[-np.inf, *feature.edges, np.inf])


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    rows, features = (*given, *(1_000_000, 20)[len(given) :])
    frame, columns, labels = make_log(rows, features)
    profile = monitoring.profile_of(columns, frame["score"].to_numpy())
    window = monitoring.summarise(frame, columns, labels, profile, since=SINCE, until=UNTIL)[0]
    works: dict[str, Callable[[], object]] = {
        "yardstick: select + histogram": lambda: yardstick(columns, profile),
        "summarise, no labels": lambda: monitoring.summarise(frame, columns, None, profile, since=SINCE, until=UNTIL),
        "summarise with labels": lambda: monitoring.summarise(
            frame, columns, labels, profile, since=SINCE, until=UNTIL
        ),
        "profile_of": lambda: monitoring.profile_of(columns, frame["score"].to_numpy()),
        "merge two windows": lambda: monitoring.merge(window, window),
        "drift of a window": lambda: monitoring.drift(profile, window),
        "guard": lambda: monitoring.guard(window, window),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            taken[name].append(seconds(work))
    unit = statistics.median(taken["yardstick: select + histogram"])
    print(
        f"{rows:,} rows x {features} features; {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, polars {pl.__version__}, numpy {np.__version__}; median of {REPEATS}"
    )
    for name, times in taken.items():
        middle = statistics.median(times)
        print(f"{name:32} {middle * 1000:10.2f} ms   x {middle / unit:8.4f}")


if __name__ == "__main__":
    main()
