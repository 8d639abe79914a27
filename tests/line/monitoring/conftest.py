"""Logs and windows to try monitoring on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from bucle.line import monitoring

SINCE = datetime(2013, 3, 1, tzinfo=UTC)
UNTIL = datetime(2013, 4, 1, tzinfo=UTC)

Log = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def make_log(rows: int, *, seed: int = 0, versions: int = 2, errors: float = 0.0, first: int = 0) -> Log:
    """A prediction frame, its features, and labels drawn from its scores."""
    rng = np.random.default_rng(seed)
    score = rng.beta(2, 6, rows)
    version = 1 + (rng.random(rows) < 0.3).astype(int) if versions == 2 else np.ones(rows, dtype=int)
    failed = rng.random(rows) < errors
    instants = [SINCE + timedelta(minutes=float(m)) for m in rng.uniform(0, 31 * 24 * 60, rows)]
    frame = pl.DataFrame(
        {
            "endpoint": ["flights"] * rows,
            "model": ["delay"] * rows,
            "version": version,
            "arm": np.where(version == 2, "canary", "champion").tolist(),
            "row": [0] * rows,
            "at": pl.Series(instants, dtype=pl.Datetime("us", "UTC")),
            "instant": pl.Series(instants, dtype=pl.Datetime("us", "UTC")),
            "entity": [f"f{first + number}" for number in range(rows)],
            "status": np.where(failed, "error", "ok").tolist(),
            "latency_us": rng.lognormal(7, 0.5, rows).astype(np.int64),
            "score": pl.Series(
                [None if bad else float(s) for bad, s in zip(failed, score, strict=True)], dtype=pl.Float64
            ),
        }
    )
    features = pl.DataFrame(
        {
            "temp": pl.Series(
                [
                    None if gone else float(t)
                    for gone, t in zip(rng.random(rows) < 0.05, rng.normal(8, 4, rows), strict=True)
                ],
                dtype=pl.Float64,
            ),
            "rain": pl.Series(np.maximum(0.0, rng.normal(-1, 1, rows))),
            "hour": pl.Series(rng.integers(5, 24, rows)),
            "carrier": pl.Series(
                rng.choice(["UA", "B6", "EV", "DL"], rows, p=[0.4, 0.3, 0.2, 0.1]).tolist(), dtype=pl.String
            ),
        }
    )
    labels = pl.DataFrame(
        {
            "entity": frame["entity"],
            "label": pl.Series((rng.random(rows) < score).tolist(), dtype=pl.Boolean),
            "known_at": pl.Series([i + timedelta(hours=5) for i in instants], dtype=pl.Datetime("us", "UTC")),
        }
    )
    return frame, features, labels


@pytest.fixture(scope="session")
def log() -> Log:
    return make_log(4000)


@pytest.fixture(scope="session")
def profile() -> monitoring.Profile:
    frame, features, _ = make_log(20_000, seed=99)
    return monitoring.profile_of(features, frame["score"].to_numpy())


@pytest.fixture
def counted(profile: monitoring.Profile) -> Callable[..., monitoring.Window]:
    """A window with these counts: `counted("canary", requests=…, failures=…, latencies=…, scores=…)`."""

    def make(
        arm: str, *, version: int = 1, requests: int = 0, failures: int = 0, **others: object
    ) -> monitoring.Window:
        empty = monitoring.empty_window("flights", "delay", version, arm, profile)
        span = {"since": SINCE, "until": UNTIL}
        return replace(
            empty, requests=requests, rows=requests, failures=failures, errors=failures, **{**span, **others}
        )

    return make
