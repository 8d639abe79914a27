"""Experiments: every run with what went in and what came out."""

from bucle.line.tracking.code import Code, code_of
from bucle.line.tracking.errors import BadMetric, GitFailed, NoSuchRun, RunEnded
from bucle.line.tracking.integrity import verify_artifacts
from bucle.line.tracking.live import LiveRun, start
from bucle.line.tracking.run import Experiment, Metric, Run, Status, experiments, metrics, run, runs

__all__ = [
    "BadMetric",
    "Code",
    "Experiment",
    "GitFailed",
    "LiveRun",
    "Metric",
    "NoSuchRun",
    "Run",
    "RunEnded",
    "Status",
    "code_of",
    "experiments",
    "metrics",
    "run",
    "runs",
    "start",
    "verify_artifacts",
]
