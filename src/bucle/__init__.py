"""Bucle: one assembly line that takes a model from raw data to production and keeps it true there.

What a project's own code needs stands here; a name is loaded when it is first used, so `import bucle` is quick.

Example:
    >>> import bucle
    >>> with bucle.run("flights", params={"rate": 0.1}) as run:  # doctest: +SKIP
    ...     run.log({"loss": 0.25})
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bucle.version import __version__

if TYPE_CHECKING:
    from bucle.ground.core import BucleError, SimulatedClock, seed_everything
    from bucle.ground.project import Project
    from bucle.line.client import Figure, Html, Image, Table
    from bucle.line.client import begin as run
    from bucle.line.features import Source, feature_view, request_view
    from bucle.line.pipelines import pipeline, step
    from bucle.line.serving import Client
    from bucle.line.tracking import start

__all__ = [
    "BucleError",
    "Client",
    "Figure",
    "Html",
    "Image",
    "Project",
    "SimulatedClock",
    "Source",
    "Table",
    "__version__",
    "feature_view",
    "pipeline",
    "request_view",
    "run",
    "seed_everything",
    "start",
    "step",
]

_HOMES = {
    "BucleError": "bucle.ground.core",
    "SimulatedClock": "bucle.ground.core",
    "seed_everything": "bucle.ground.core",
    "Project": "bucle.ground.project",
    "Source": "bucle.line.features",
    "feature_view": "bucle.line.features",
    "request_view": "bucle.line.features",
    "pipeline": "bucle.line.pipelines",
    "step": "bucle.line.pipelines",
    "Client": "bucle.line.serving",
    "Figure": "bucle.line.client",
    "Html": "bucle.line.client",
    "Image": "bucle.line.client",
    "Table": "bucle.line.client",
    "run": "bucle.line.client:begin",
    "start": "bucle.line.tracking",
}
"""Name -> the room it is of, and its name there when that is another."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bucle' has no attribute {name!r}")
    room, _, own = _HOMES[name].partition(":")
    return getattr(importlib.import_module(room), own or name)


def __dir__() -> list[str]:
    return __all__
