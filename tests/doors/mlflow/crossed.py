"""Ways to reach a project: two that meet both transports and both databases; `make test-full` takes all four."""

from __future__ import annotations

import pytest

CROSSED = (
    "http+sqlite",
    "bucle+postgresql",
    pytest.param("http+postgresql", marks=pytest.mark.full),
    pytest.param("bucle+sqlite", marks=pytest.mark.full),
)
