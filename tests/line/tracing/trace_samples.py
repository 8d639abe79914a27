"""Traces to try things on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bucle.line import tracing

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def trace_id(number: int) -> str:
    return f"tr-{number:032x}"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def nanos(seconds: float) -> int:
    return int(START.timestamp()) * 1_000_000_000 + round(seconds * 1_000_000_000)


def span(number: int, place: int, *, seconds: float = 0.0, lasts: float = 1.0, **fields: Any) -> tracing.Span:
    """Span `place` of trace `number`; 0 is the root, every other its child."""
    given = {
        "trace_id": trace_id(number),
        "id": f"{place + 1:016x}",
        "parent": "" if place == 0 else f"{1:016x}",
        "name": f"step-{place}",
        "started_ns": nanos(seconds),
        "ended_ns": nanos(seconds + lasts),
    }
    return tracing.Span(**{**given, **fields})


def trace(number: int, *, seconds: float | None = None, **fields: Any) -> tracing.Trace:
    """Trace `number`, which began so many seconds after the start."""
    given = {
        "id": trace_id(number),
        "experiment_id": "0",
        "started_at": at(number if seconds is None else seconds),
        "state": "OK",
        "duration_ms": 10,
    }
    return tracing.Trace(**{**given, **fields})
