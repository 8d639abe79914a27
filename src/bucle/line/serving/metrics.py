"""Metrics: what an endpoint counts, in Prometheus' text format.

Source: Prometheus exposition format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from bucle.line.serving.route import Arm

__all__ = ["BUCKETS_S", "Metrics"]

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper edges of the latency histogram, in seconds."""

_Key = tuple[str, int, str]


class _Series:
    __slots__ = ("buckets", "count", "errors", "rows", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.rows = 0
        self.sum_s = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)


class Metrics:
    """The counters of one endpoint, by model, version and arm. They start at zero with the process.

    Args:
        endpoint: its name, a label of every series.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._series: dict[_Key, _Series] = {}
        self._refused: dict[str, int] = {}
        self.generation = 0
        self.reload_failures = 0
        self.shadows_dropped = 0

    def answered(self, arm: Arm, name: str, *, rows: int, latency_us: int, failed: bool) -> None:
        """Count what one version did with one request."""
        key = (arm.model, arm.version, name)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        seconds = latency_us / 1e6
        series.count += 1
        series.errors += failed
        series.rows += rows
        series.sum_s += seconds
        series.buckets[bisect_left(BUCKETS_S, seconds)] += 1

    def refused(self, code: str) -> None:
        """Count a request that was not in order."""
        self._refused[code] = self._refused.get(code, 0) + 1

    def text(self) -> str:
        """All of it as Prometheus reads it."""
        return "\n".join([*self._counters(), *self._histogram(), *self._process(), ""])

    def _counters(self) -> Iterator[str]:
        for name, attribute, about in (
            ("bucle_requests_total", "count", "Requests a version was asked to answer."),
            ("bucle_errors_total", "errors", "Requests a version failed on."),
            ("bucle_rows_total", "rows", "Rows in those requests."),
        ):
            yield from (f"# HELP {name} {about}", f"# TYPE {name} counter")
            for key, series in sorted(self._series.items()):
                yield f"{name}{self._labels(key)} {getattr(series, attribute)}"

    def _histogram(self) -> Iterator[str]:
        name = "bucle_latency_seconds"
        yield from (f"# HELP {name} Time from the request's last byte to the answer.", f"# TYPE {name} histogram")
        for key, series in sorted(self._series.items()):
            below = 0
            for edge, count in zip((*BUCKETS_S, "+Inf"), series.buckets, strict=True):
                below += count
                yield f"{name}_bucket{self._labels(key, le=str(edge))} {below}"
            yield f"{name}_sum{self._labels(key)} {series.sum_s!r}"
            yield f"{name}_count{self._labels(key)} {series.count}"

    def _process(self) -> Iterator[str]:
        endpoint = f'endpoint="{self._endpoint}"'
        yield from ("# HELP bucle_refused_total Requests that were not in order.", "# TYPE bucle_refused_total counter")
        for code, count in sorted(self._refused.items()):
            yield f'bucle_refused_total{{{endpoint},code="{code}"}} {count}'
        for name, kind, value, about in (
            ("bucle_generation", "gauge", self.generation, "Generation of the routes in force."),
            ("bucle_reload_failures_total", "counter", self.reload_failures, "Routes that could not be loaded."),
            ("bucle_shadows_dropped_total", "counter", self.shadows_dropped, "Shadow runs dropped for lack of room."),
        ):
            yield from (f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name}{{{endpoint}}} {value}")

    def _labels(self, key: _Key, le: str = "") -> str:
        edge = f',le="{le}"' if le else ""
        return f'{{endpoint="{self._endpoint}",model="{key[0]}",version="{key[1]}",arm="{key[2]}"{edge}}}'
