"""A training outside a table's purposes is refused: when a step reads, a version is registered, or it is judged."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data, gates, pipelines, query, registry, tracking
from bucle.line.registry import Reference
from line.registry.conftest import linear_model

FLOW = """
    import subprocess
    import sys

    import polars as pl
    from bucle.ground.project import Project
    from bucle.line import data
    from bucle.line.pipelines import pipeline, step

    @step
    def rows(commit: str, project: Project) -> pl.DataFrame:
        return data.scan(project, "people", at=commit)

    @step
    def count(frame: pl.DataFrame) -> int:
        return frame.height

    @pipeline
    def plain(commit: str) -> dict[str, int]:
        return {"rows": count(rows(commit))}

    @pipeline(purpose="billing")
    def bills(commit: str) -> dict[str, int]:
        return {"rows": count(rows(commit))}

    @pipeline(purpose="advertising")
    def adverts(commit: str) -> dict[str, int]:
        return {"rows": count(rows(commit))}

    def people() -> int:
        project = Project.open(ROOT)
        try:
            return data.scan(project, "people").height
        finally:
            project.close()

    @step
    def opened() -> int:
        return people()

    @step
    def started() -> int:
        program = "import flow; raise SystemExit(flow.people())"
        return subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode

    @pipeline(purpose="billing")
    def own_bills() -> dict[str, int]:
        return {"opened": opened(), "started": started()}

    @pipeline(purpose="advertising")
    def own() -> dict[str, int]:
        return {"rows": opened()}

    @pipeline(purpose="advertising")
    def own_body() -> dict[str, int]:
        return {"rows": people()}

    @pipeline(purpose="billing")
    def own_body_bills() -> dict[str, int]:
        return {"rows": people()}

    @pipeline(purpose="advertising")
    def body(commit: str, project: Project) -> dict[str, int]:
        return {"rows": data.scan(project, "people", at=commit).height}
"""


@pytest.fixture
def shop(root: Path, clock: SimulatedClock, migrated_file: Path) -> Iterator[Project]:
    (root / "bucle.toml").write_text('[project]\nname = "shop"\nmodules = ["flow"]\n')
    (root / "flow.py").write_text(f"ROOT = {str(root)!r}\n" + textwrap.dedent(FLOW))
    (root / ".bucle").mkdir()
    shutil.copy(migrated_file, root / ".bucle" / "bucle.db")
    opened = Project.open(root, clock=clock, actor="ana")
    people = pl.DataFrame({"name": ["ana", "eva"]})
    data.commit(opened, {"people": people, "weather": people}, message="rows")
    yield opened
    opened.close()


def registered(project: Project, **origin: str) -> registry.ModelVersion:
    return registry.register(project, "m", registry.pack(project, linear_model()), **origin)


def judged(project: Project, subject: str) -> gates.Verdict:
    labels = np.array([True, False] * 50)
    evidence = gates.Evidence(labels, np.where(labels, 0.9, 0.1), None, {})
    return gates.judge(project, subject, [gates.MinimumMetric(minimum=0.6)], evidence)


def test_steps_are_asked_what_their_pipeline_is_for(shop: Project) -> None:
    commit = data.resolve(shop).id
    assert pipelines.run(shop, "plain", {"commit": commit}).result == {"rows": 2}
    data.describe(shop, "people", purposes=["billing"])
    done = pipelines.run(shop, "bills", {"commit": commit})
    assert done.result == {"rows": 2}
    # What another purpose computed is not given to this one, and the body is asked as its steps are.
    with pytest.raises(pipelines.StepFailed, match="BU0548"):
        pipelines.run(shop, "adverts", {"commit": commit})
    with pytest.raises(data.PurposeRefused, match="advertising"):
        pipelines.run(shop, "body", {"commit": commit})
    steps = pipelines.step_runs(shop, done.id)
    edges = shop.ledger.edges_of([f"step/{steps[0].key}"], upstream=True)
    assert f"table/people@{commit}" in {edge.source for edge in edges if edge.kind == "read"}
    told = {(one.purpose, one.allowed) for one in data.uses(shop, "people")}
    assert told == {("", True), ("billing", True), ("advertising", False)}

    # A version says what it came from, and is asked again by what the records say by then.
    version = registered(shop, execution=done.id, commit=commit)
    assert judged(shop, version.ref).passed
    data.describe(shop, "people", purposes=["fraud detection"])
    with pytest.raises(data.PurposeRefused, match="'billing'"):
        judged(shop, version.ref)
    with pytest.raises(data.PurposeRefused):
        registry.register(shop, "other", registry.pack(shop, linear_model(2.0)), execution=done.id, commit=commit)
    assert [one.name for one in registry.models(shop)] == ["m"]


def test_nobody_gets_round_it_by_opening_the_project(shop: Project) -> None:
    data.describe(shop, "people", purposes=["billing"])
    commit = data.resolve(shop).id
    for pipeline in ("own_bills", "own_body_bills"):
        done = pipelines.run(shop, pipeline, {})
        assert set(done.result.values()) == {2}
        readers = {f"step/{one.key}" for one in pipelines.step_runs(shop, done.id)} or {f"execution/{done.id}"}
        edges = shop.ledger.edges_of(sorted(readers), upstream=True)
        read = {edge.target for edge in edges if (edge.source, edge.kind) == (f"table/people@{commit}", "read")}
        assert read == readers
        assert registered(shop, execution=done.id).version == 1
    # What they computed for bills is not given to adverts.
    with pytest.raises(pipelines.StepFailed, match="BU0548"):
        pipelines.run(shop, "own", {})
    with pytest.raises(data.PurposeRefused, match="advertising"):
        pipelines.run(shop, "own_body", {})
    # What the others read is known as well when a version is registered.
    data.describe(shop, "people", purposes=["fraud detection"])
    with pytest.raises(data.PurposeRefused, match="'billing'"):
        registry.register(shop, "other", registry.pack(shop, linear_model(2.0)), execution=done.id)
    # Outside a pipeline nobody trains.
    again = Project.open(shop.root, clock=shop.clock, actor="ana")
    try:
        assert data.scan(again, "people").height == 2
    finally:
        again.close()


def test_a_run_by_hand_is_asked_by_the_tables_it_names(shop: Project) -> None:
    commit = data.resolve(shop).id
    data.describe(shop, "people", purposes=["billing"])
    query.define_view(shop, "names", "SELECT name FROM people")
    at = data.resolve(shop).id
    named = ("table/people@main", f"table/people@{commit[:8]}", "table/people", "commit/main", f"commit/{commit[:8]}",
             f"table/names@{at}", "table/names", "commit/nowhere", f"table/people@{'0' * 64}")  # fmt: skip
    for inputs in ([f"table/people@{commit}"], [f"commit/{commit}"], *([one] for one in named)):
        with tracking.start(shop, "by-hand", inputs=inputs) as run:
            pass
        with pytest.raises(data.PurposeRefused, match="without telling"):
            registered(shop, run=run.id)
    with tracking.start(shop, "by-hand", inputs=[f"table/weather@{commit}", f"commit/{commit}"]) as run:
        pass
    assert registered(shop, run=run.id, commit=commit[:8]).version == 1


def test_a_project_says_once_what_it_trains_for(shop: Project, clock: SimulatedClock) -> None:
    commit = data.resolve(shop).id
    data.describe(shop, "people", purposes=["billing"])
    toml = shop.root / "bucle.toml"
    toml.write_text(toml.read_text() + 'purpose = "billing"\n')
    again = Project.open(shop.root, clock=clock, actor="ana")
    try:
        assert pipelines.run(again, "plain", {"commit": commit}).result == {"rows": 2}
        assert registered(again, commit=commit).version == 1
    finally:
        again.close()


def test_what_comes_of_nothing_here_is_not_asked(shop: Project) -> None:
    data.describe(shop, "people", purposes=["billing"])
    assert registry.register_reference(shop, "far", Reference(provider="x", id="y")).version == 1
    assert registered(shop).version == 1
