"""A turn of the loop: from the end of a month to the decision taken, without the training itself.

    python benchmarks/cycle.py [--months 4]

Plays the flights example to that month and adds up, for each turn, what each decision took; the time its training steps
computed is taken off. The limit shown beside is one pass of Polars over the same month's predictions.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from bucle import loop
from bucle.examples.flights.play import Teller, Year
from bucle.line import pipelines, serving


class Stopwatch(Teller):
    """Notes what each decision took, by turn and kind."""

    def __init__(self) -> None:
        self.spent: list[tuple[datetime, str, float, loop.Outcome]] = []
        self._began = 0.0

    def decided(self, at: datetime, decision: loop.Decision, outcome: loop.Outcome | None) -> None:
        if outcome is None:
            self._began = time.perf_counter()
        else:
            self.spent.append((at, decision.kind, time.perf_counter() - self._began, outcome))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=4)
    months = parser.parse_args().months
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        year = Year(Path(folder) / "flights", teller=watch, months=months)
        try:
            year.play()
            report(year, watch)
        finally:
            year.close()


def report(year: Year, watch: Stopwatch) -> None:
    python = platform.python_version()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {python}, load {os.getloadavg()[0]:.1f}")
    by_kind: dict[str, list[float]] = {}
    for _, kind, seconds, outcome in watch.spent:
        training = 0.0
        if kind == "retrain" and outcome.get("execution"):
            training = sum(step.duration_s for step in pipelines.step_runs(year.project, outcome["execution"]))
            by_kind.setdefault("training steps (taken off)", []).append(training)
        by_kind.setdefault(kind, []).append(seconds - training)
    for kind, values in by_kind.items():
        print(f"{kind:<30}{statistics.median(values) * 1000:>9.1f} ms median of {len(values)}")
    turn = ("watch", "retrain", "judge", "approve", "roll")
    whole = sum(statistics.median(by_kind[kind]) for kind in turn if kind in by_kind)
    began = time.perf_counter()
    rows = serving.predictions(year.project, year.policy.endpoint).height
    limit = time.perf_counter() - began
    print(f"{'a turn without its training':<30}{whole * 1000:>9.1f} ms")
    print(f"{f'reading {rows:,} predictions':<30}{limit * 1000:>9.1f} ms; ratio {whole / limit:.1f}")


if __name__ == "__main__":
    main()
