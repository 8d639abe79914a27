"""A project whose policy guards a model, and how a version of it gets what the policy wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import parser

from bucle.ground import governance
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import gates, registry

if TYPE_CHECKING:
    from bucle.line.gates import Verdict

POLICY = """
[loop.m]
pipeline = "p"
approvals = 2
guarded = ["champion", "fallback"]
labels = { table = "t", entity = "e", label = "l", known_at = "k" }
[loop.m.gates.minimum]
metric = "auc"
minimum = 0.6
"""
ONNX = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] x) => (float[N,1] probability) '
    "<float w = {%s}> { y = Mul(x, w) probability = Sigmoid(y) }"
)


def write(root: Path, policy: str) -> None:
    (root / "bucle.toml").write_text(f'[project]\nname = "t"\n{policy}')


def open_guarded(root: Path, clock: SimulatedClock, url: str) -> Project:
    """m@1 and m@2 by ana under the policy, and unguarded@1."""
    write(root, POLICY)
    opened = Project.open(root, clock=clock, database=url, actor="ana")
    for model, weight in (("m", "1"), ("m", "2"), ("unguarded", "1")):
        content = parser.parse_model(ONNX % weight).SerializeToString()
        registry.register(opened, model, registry.pack(opened, content))
    return opened


def judge(project: Project, ref: str, *, good: bool, minimum: float = 0.6) -> Verdict:
    """A verdict on what the version is now."""
    labels = np.array([False, True] * 50)
    scores = np.where(labels, 0.9, 0.1) if good else np.where(labels, 0.1, 0.9)
    judges = gates.gates_of({"minimum": {"metric": "auc", "minimum": minimum}})
    name, number = registry.model_of(ref)
    digest = registry.version(project, name, number or 0).digest
    return gates.judge(project, ref, judges, gates.Evidence(labels=labels, challenger=scores), digest=digest)


def approve(project: Project, number: int, *names: str) -> None:
    """A yes to what the version is now, of each of them."""
    found = registry.version(project, "m", number)
    for name in names:
        governance.approve(project, found.ref, digest=found.digest, principal=name, author=found.author, reason="")
