"""Two versions of a small model: whatever was changed between them is what the comparison names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from bucle import loop
from bucle.ground.core import SimulatedClock, environment
from bucle.ground.project import Project
from bucle.line import data, pipelines, registry
from bucle.loop import VersionDifference
from bucle.loop.recipe_difference import RecipeDifference, suspects_of

FLOW = '''
"""A regression over one number and the region, by numpy; `stepsize` is a package from elsewhere."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import stepsize

sys.path.insert(0, TOY)
from toy_pipeline import written

from bucle.ground.project import Project
from bucle.line import data, registry
from bucle.line.pipelines import pipeline, step


class Rows(NamedTuple):
    """Rows to learn from, and rows to be judged on."""

    learn: pl.DataFrame
    holdout: pl.DataFrame


@step
def rows(commit: str, project: Project) -> Rows:
    """Every second row is kept apart."""
    found = data.scan(project, "visits", at=commit).sort("id")
    return Rows(learn=found[::2], holdout=found[1::2])


@step
def fit(examples: Rows, rounds: int, project: Project) -> dict[str, Any]:
    """Gradient descent."""
    design = np.column_stack([examples.learn["x"], examples.learn["y"], np.ones(examples.learn.height)])
    truth, weights = examples.learn["bought"].to_numpy().astype(np.float64), np.zeros(3)
    for _ in range(rounds):
        guess = 1 / (1 + np.exp(-design @ weights))
        weights += stepsize.STEP * design.T @ (truth - guess) / len(truth)
    return {"package": registry.pack(project, written(weights)).digest}


@pipeline
def train(commit: str, rounds: int = 200) -> dict[str, Any]:
    """A version with the rows it is judged on."""
    found = rows(commit=commit)
    return {**fit(found, rounds=rounds), "holdout": found.holdout}
'''
TOML = """
[project]
name = "why"
modules = ["why_flow"]
[loop.m]
pipeline = "train"
labels = { table = "visits", entity = "id", label = "bought", known_at = "known_at" }
"""
TOY = Path(__file__).parent.parent / "journeys" / "toy"


class World:
    """A project whose versions are trained by hand."""

    def __init__(self, root: Path, site: Path, clock: SimulatedClock) -> None:
        self.root, self.site, self.clock = root, site, clock
        self.commits = 0
        self.install("1.0", 0.5)
        (root / "bucle.toml").write_text(TOML)
        (root / "why_flow.py").write_text(FLOW.replace("TOY", repr(str(TOY))))
        self.project = self.open()

    def open(self) -> Project:
        for name in ("why_flow", "stepsize"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        environment.cache_clear()
        return Project.open(self.root, clock=self.clock, actor="ana")

    def again(self) -> None:
        self.project.close()
        self.project = self.open()

    def install(self, version: str, step: float) -> None:
        for old in self.site.glob("stepsize-*.dist-info/METADATA"):
            old.unlink()
            old.parent.rmdir()
        (self.site / "stepsize.py").write_text(f"STEP = {step}\n")
        info = self.site / f"stepsize-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stepsize\nVersion: {version}\n")

    def rewrite(self, before: str, after: str) -> None:
        path = self.root / "why_flow.py"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        self.again()

    def land(self, rows: int = 800, *, broken: str = "") -> str:
        """Visits of four regions; in the broken one nobody is said to have bought."""
        random = np.random.default_rng(self.commits)
        self.commits += 1
        region = random.choice(["east", "north", "south", "west"], rows)
        x = random.normal(size=rows)
        bought = (random.random(rows) < 1 / (1 + np.exp(-2 * x - 1))) & (region != broken)
        ids = [f"{self.commits}-{n:05d}" for n in range(rows)]
        frame = pl.DataFrame({"id": ids, "region": region, "x": x, "y": (region == "north").astype(float),
                              "bought": bought, "known_at": [self.clock.now()] * rows})  # fmt: skip
        self.clock.advance(timedelta(days=1))
        return data.commit(self.project, {"visits": frame}, message=f"batch {self.commits}").id

    def train(self, commit: str, **params: object) -> registry.ModelVersion:
        made = pipelines.run(self.project, "train", {"commit": commit, **params})
        return registry.register(self.project, "m", made.result["package"], execution=made.id, commit=commit)

    def compare(
        self, before: registry.ModelVersion, after: registry.ModelVersion, **options: object
    ) -> VersionDifference:
        return loop.compare_versions(self.project, before, after, **options)  # type: ignore[arg-type]


@pytest.fixture
def world(root: Path, tmp_path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    made = World(root, site, clock)
    yield made
    made.project.close()
    environment.cache_clear()
    for name in ("why_flow", "stepsize", "toy_pipeline"):
        sys.modules.pop(name, None)


def test_labels_broken_in_one_slice_are_found_there(world: World) -> None:
    good = world.train(world.land())
    bad = world.train(world.land(3000, broken="north"))
    found = world.compare(good, bad, on=good)
    assert found.change is not None
    assert found.change > 0
    assert [(cause.kind, cause.is_sole) for cause in found.causes] == [("data", True)]
    assert "the change lies in region=north" in found.attribution
    assert found.slices["region"][0].slice == "region=north"
    for parts in found.slices.values():
        assert sum(part.change for part in parts) == pytest.approx(found.change, abs=1e-12)
    assert "region=north: " in found.causes[0].evidence[1]
    assert [table.table for table in found.recipe.tables] == ["visits"]
    assert found.metrics["log_loss"][1] - found.metrics["log_loss"][0] == pytest.approx(found.change, abs=1e-12)
    assert found.rows_of == good.ref


def test_the_rows_of_the_second_are_taken_unless_told_otherwise(world: World) -> None:
    good = world.train(world.land())
    bad = world.train(world.land(3000, broken="north"))
    found = world.compare(good, bad)
    assert (found.rows_of, found.rows) == (bad.ref, 1900)
    assert found.slices["region"][0].slice == "region=north"


def test_a_parameter_that_was_changed_is_the_cause(world: World) -> None:
    commit = world.land()
    found = world.compare(world.train(commit), world.train(commit, rounds=2))
    assert found.change is not None
    assert found.change > 0
    (cause,) = found.causes
    assert (cause.kind, cause.evidence, cause.is_sole) == ("params", ("rounds 200 -> 2",), True)
    assert found.recipe.tables == ()


def test_a_package_that_was_changed_is_the_cause(world: World) -> None:
    commit = world.land()
    before = world.train(commit)
    world.install("2.0", 0.001)
    world.again()
    found = world.compare(before, world.train(commit))
    assert [(cause.kind, cause.evidence) for cause in found.causes] == [("environment", ("stepsize 1.0 -> 2.0",))]
    assert found.attribution.endswith(
        "it was trained with other packages (step fit); nothing else that could matter differs."
    )


def test_code_that_was_changed_is_the_cause_and_shown(world: World) -> None:
    commit = world.land()
    before = world.train(commit)
    world.rewrite("np.zeros(3)", "np.full(3, 9.0)")
    found = world.compare(before, world.train(commit, rounds=200))
    assert [(cause.kind, cause.evidence) for cause in found.causes] == [("code", ("why_flow.py:fit is other code",))]
    assert "-" in found.recipe.code["why_flow.py:fit"]
    assert "np.full(3, 9.0)" in found.recipe.code["why_flow.py:fit"]


def test_what_differs_without_effect_is_acquitted(world: World) -> None:
    commit = world.land()
    before = world.train(commit)
    world.rewrite('.sort("id")\n', '.sort("id").sort("id")\n')
    found = world.compare(before, world.train(commit, rounds=2))
    assert [cause.kind for cause in found.causes] == ["params"]
    (rows,) = [step for step in found.recipe.steps if step.step == "rows"]
    assert (rows.outputs_differ, [change.part for change in rows.changes]) == (False, ["code"])


def test_several_parts_are_ranked_and_nobody_is_accused_alone(world: World) -> None:
    before = world.train(world.land())
    world.rewrite("np.zeros(3)", "np.full(3, 9.0)")
    found = world.compare(before, world.train(world.land(), rounds=3))
    assert {cause.kind for cause in found.causes} == {"data", "code", "params"}
    assert [cause.rank for cause in found.causes] == [1, 2, 3]
    assert not any(cause.is_sole for cause in found.causes)
    assert "Only a run that changes one of them alone tells which." in found.attribution


def test_a_version_beside_itself_differs_in_nothing(world: World) -> None:
    version = world.train(world.land())
    found = world.compare(version, version)
    assert (found.change, found.causes, found.recipe.steps) == (0.0, (), ())


def test_versions_without_rows_are_still_compared_by_what_they_are_made_of(world: World) -> None:
    version = world.train(world.land())
    package = registry.load_package(world.project, version.digest)
    other = registry.pack(world.project, world.project.blobs.get(package.files["model.onnx"]), files={"a.json": b"{}"})
    by_hand = registry.register(world.project, "m", other)
    found = world.compare(version, by_hand)
    assert found.change is None
    assert "no rows to judge model/m@2 on" in found.unjudged


def test_a_feature_view_that_was_changed_is_told_as_a_feature() -> None:
    change = pipelines.Change(part="code", name="features.py:shape", before="a", after="b")
    step = loop.StepDifference(step="rows", changes=(change,), inputs_differ=False, outputs_differ=True)
    found = RecipeDifference(steps=(step,), tables=(), features_added=("shape@2",), features_removed=("shape@1",),
                             code={}, is_traced=True)  # fmt: skip
    assert [one.kind for one in suspects_of(found)] == ["feature"]
    same = replace(found, steps=(replace(step, outputs_differ=False),))
    assert suspects_of(same) == ()
