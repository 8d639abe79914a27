"""Versions of a small model, ready to be deployed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onnx import parser

from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Field, ModelVersion, Signature

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
small (%(inputs)s) => (float[N] probability)
<float[1] b = {%(bias)s}, int64[1] flat = {-1}>
{
  sum = Add (hour, b)
  squashed = Sigmoid (sum)
  probability = Reshape (squashed, flat)
}
"""

# Raises inside onnxruntime when hour >= 2: there is no such element to gather.
FAILING = """
<ir_version: 8, opset_import: ["" : 17]>
failing (float[N,1] hour) => (float[N] probability)
<float[2] table = {0.25, 0.75}, int64[1] flat = {-1}>
{
  index = Cast <to = 7> (hour)
  found = Gather (table, index)
  probability = Reshape (found, flat)
}
"""

Make = Callable[..., ModelVersion]


def make_version(
    project: Project, bias: float = 0.0, *, stage: str = "validated", model: str = "delay", **options: object
) -> ModelVersion:
    text = FAILING if options.get("failing") else GRAPH % {"bias": bias, "inputs": "float[N,1] hour"}
    request = None
    if options.get("wants"):
        wanted = str(options["wants"])
        request = Signature(inputs=(Field(name="hour", type="float"), Field(name=wanted, type="string")))
    package = registry.pack(project, parser.parse_model(text).SerializeToString(deterministic=True), request=request)
    made = registry.register(project, model, package)
    way = {"registered": (), "validated": ("validated",), "production": ("validated", "production")}
    for step in way.get(stage, (stage,)):
        made = registry.transition(project, model, made.version, step, actor="ana", reason="for the test")
    return made


@pytest.fixture
def make(project: Project) -> Make:
    """Makes versions in a project on SQLite."""

    def inside(bias: float = 0.0, **options: object) -> ModelVersion:
        return make_version(project, bias, **options)  # type: ignore[arg-type]

    return inside


@pytest.fixture
def make_any(any_project: Project) -> Make:
    """Makes versions in a project on each database."""

    def inside(bias: float = 0.0, **options: object) -> ModelVersion:
        return make_version(any_project, bias, **options)  # type: ignore[arg-type]

    return inside
