"""Rubric: the 28 tests of the ML Test Score, in the paper's order."""

from bucle.loop.readiness.data_tests import DATA
from bucle.loop.readiness.infra_tests import INFRA
from bucle.loop.readiness.model_tests import MODEL
from bucle.loop.readiness.monitor_tests import MONITOR

__all__ = ["TESTS"]

TESTS = (*DATA, *MODEL, *INFRA, *MONITOR)
"""Seven tests a section: features and data, model development, infrastructure, monitoring."""
