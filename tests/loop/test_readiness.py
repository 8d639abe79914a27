"""Readiness: points are given for what is on record, and for nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from onnx import parser

from bucle import loop
from bucle.ground import governance
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import contracts, data, features, pipelines, registry
from bucle.loop import Finding, Readiness, Score, readiness
from loop.guarded import approve, judge, open_guarded

JOURNEYS = Path(__file__).parent.parent / "journeys"
FLOW = """
    '''What the shop trains.'''
    import polars as pl

    from bucle.line.features import Source, feature_view, request_view
    from bucle.line.pipelines import pipeline, step


    @feature_view(keys=["shop"], schema={"sold": pl.Float64, "idle": pl.Float64}, sources=[Source("sales", "at")])
    def sold(sales: pl.DataFrame) -> pl.DataFrame:
        '''What was sold so far.'''
        return sales


    @request_view(inputs=["x"], schema={"twice": pl.Float64})
    def unused(rows: pl.DataFrame) -> pl.DataFrame:
        '''Twice as much.'''
        return rows.select(twice=pl.col("x") * 2)


    @step
    def fit(seed: int) -> int:
        '''A model, so to speak.'''
        return seed


    @pipeline
    def train(seed: int = 7) -> int:
        '''From nothing to a model.'''
        return fit(seed)
"""
TOML = '[project]\nname = "shop"\nmodules = ["shop_flow"]\n'
ONNX = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] sold) => (float[N,1] probability) '
    "{ probability = Sigmoid(sold) }"
)


def git(root: Path, *arguments: str) -> None:
    names = ["-c", "user.name=ana", "-c", "user.email=ana@example.org"]
    subprocess.run(["git", "-C", str(root), *names, *arguments], check=True, capture_output=True)


def commit_all(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-m", "as it is")


@pytest.fixture
def shop(root: Path, clock: SimulatedClock) -> Iterator[Project]:
    """A project whose files are documented and committed."""
    (root / "bucle.toml").write_text(TOML)
    (root / "shop_flow.py").write_text(textwrap.dedent(FLOW))
    (root / ".gitignore").write_text(".bucle/\n__pycache__/\n")
    git(root, "init")
    commit_all(root)
    sys.modules.pop("shop_flow", None)
    opened = Project.open(root, clock=clock, actor="ana")
    yield opened
    opened.close()
    sys.modules.pop("shop_flow", None)


def rewrite(project: Project, before: str, after: str) -> None:
    path = project.root / "shop_flow.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    sys.modules.pop("shop_flow", None)


def told(found: Readiness, what: str) -> list[tuple[str, str]]:
    return [(one.where, one.detail) for one in found.findings if one.what == what and one.state != "ok"]


def points(score: Score) -> dict[str, float]:
    return {one.id: one.points for one in score.items if one.points}


def test_what_is_documented_and_committed_is_well_defined(shop: Project) -> None:
    found = loop.check(shop)
    assert found.faults == ()
    assert [(one.kind, one.where, one.about) for one in found.definitions] == [
        ("view", "shop_flow.py:sold", "What was sold so far."),
        ("view", "shop_flow.py:unused", "Twice as much."),
        ("step", "shop_flow.py:fit", "A model, so to speak."),
        ("pipeline", "shop_flow.py:train", "From nothing to a model."),
    ]
    assert all(one.commit and one.code for one in found.definitions)


def test_a_step_without_a_docstring_is_a_fault(shop: Project) -> None:
    rewrite(shop, "    '''A model, so to speak.'''\n", "")
    commit_all(shop.root)
    found = loop.check(shop)
    assert [(one.what, one.where, one.state) for one in found.faults] == [("docstring", "shop_flow.py:fit", "problem")]


def test_a_change_that_is_not_committed_is_told(shop: Project) -> None:
    rewrite(shop, "return seed\n", "return seed + 1\n")
    found = loop.check(shop)
    assert ("shop_flow.py is changed since the commit" in told(found, "version")[0][1], len(found.faults)) == (True, 4)


def test_a_file_that_git_does_not_know_is_told(shop: Project) -> None:
    git(shop.root, "rm", "--cached", "-q", "shop_flow.py")
    git(shop.root, "commit", "-m", "forgotten")
    assert "shop_flow.py is not in git" in told(loop.check(shop), "version")[0][1]


def test_without_git_no_definition_has_a_version(shop: Project) -> None:
    shutil.rmtree(shop.root / ".git")
    found = loop.check(shop)
    assert {one.state for one in found.faults} == {"warning"}
    assert all("no git repository" in detail for _, detail in told(found, "version"))


def test_the_version_of_a_step_is_compared_with_the_one_that_ran(shop: Project) -> None:
    pipelines.run(shop, "train", {})
    (step,) = [one for one in loop.check(shop).definitions if one.kind == "step"]
    assert step.recorded == step.code
    rewrite(shop, "return seed\n", "return seed + 1\n")
    commit_all(shop.root)
    (step,) = [one for one in loop.check(shop).definitions if one.kind == "step"]
    assert step.recorded != step.code


def test_contracts_and_policies_that_cannot_be_used_are_faults(shop: Project) -> None:
    (shop.root / "contracts").mkdir()
    (shop.root / "contracts" / "sales.yaml").write_text("table: sales\nrules: []\n")
    labels = 'labels = { table = "t", entity = "e", label = "l", known_at = "k" }'
    (shop.root / "bucle.toml").write_text(f'{TOML}\n[loop.m]\npipeline = "trian"\n{labels}\n')
    again = Project.open(shop.root, clock=shop.clock)
    found = loop.check(again)
    again.close()
    assert [one.what for one in found.faults if one.state == "problem"] == ["contract", "policy"]


def with_model(project: Project) -> None:
    """A version that takes `sold` of the view of the same name, and nothing of the other."""
    content = parser.parse_model(ONNX).SerializeToString()
    view = features.views_of(project.modules())["sold"]
    request = registry.Signature(inputs=(registry.Field(name="shop", type="string"),))
    registry.register(project, "m", registry.pack(project, content, request=request, features=[view.pin]))


def test_features_that_no_version_takes_are_flagged(shop: Project) -> None:
    assert told(loop.check(shop), "feature") == []  # nothing was trained yet: nothing can be said
    with_model(shop)
    flagged = told(loop.check(shop), "feature")
    assert [where.partition("@")[0] for where, _ in flagged] == ["features/unused", "features/sold"]
    assert "takes idle" in flagged[1][1]


def test_who_trains_without_saying_what_for_is_an_undeclared_consumer(shop: Project) -> None:
    data.commit(shop, {"sales": pl.DataFrame({"x": [1.0]})}, message="m")
    assert told(loop.check(shop), "consumer") == []
    data.scan(shop.reading("pricing", reader="step/1"), "sales")
    assert [where for where, _ in told(loop.check(shop), "consumer")] == ["table/sales"]
    data.describe(shop, "sales", purposes=("pricing",), description="what was sold", owner="ana")
    found = loop.check(shop)
    assert told(found, "consumer") == []
    assert told(found, "record") == []


def test_what_nobody_uses_is_told_with_what_mends_it(shop: Project) -> None:
    data.commit(shop, {"sales": pl.DataFrame({"x": [1.0]}), "old": pl.DataFrame({"x": [1.0]})}, message="m")
    contracts.save(contracts.Contract(table="gone"), contracts.path_of(shop, "gone"))
    (shop.root / "bucle.toml").write_text(TOML + "[server]\nport = 4242\n")
    again = Project.open(shop.root, clock=shop.clock)
    found = loop.check(again)
    again.close()
    debts = [one for one in found.findings if one.about == "debt"]
    assert {(one.what, one.where) for one in debts if one.what != "record"} == {
        ("table", "table/old"),
        ("pipeline", "shop_flow.py:train"),
        ("contract", "contracts/gone.yaml"),
        ("setting", "[server]"),
    }
    assert all(one.fix for one in debts)


def test_an_alias_of_a_version_that_is_gone_is_told(shop: Project) -> None:
    with_model(shop)
    registry.set_alias(shop, "m", "old", 1, actor="ana", reason="kept")
    registry.transition(shop, "m", 1, "rejected", actor="ana", reason="bad")
    assert told(loop.check(shop), "alias") == [("model/m@1", "The alias 'old' names a version that is rejected.")]


def test_the_rubric_is_the_papers() -> None:
    ids = [one.id for one in readiness.TESTS]
    assert ids == [f"{name}-{n}" for name in ("data", "model", "infra", "monitor") for n in range(1, 8)]
    assert [readiness.band_of(points) for points in (0.0, 0.5, 1.5, 2.5, 4.0, 5.5)] == [
        text for _, text in readiness.BANDS
    ]


def test_a_version_of_which_nothing_is_on_record_has_no_point(shop: Project) -> None:
    content = parser.parse_model(ONNX).SerializeToString()
    registry.register(shop, "m", registry.pack(shop, content))
    (score,) = loop.check(shop).scores
    assert (points(score), score.score, set(score.sections.values())) == ({}, 0.0, {0.0})
    assert all(one.detail and one.fix and not one.proof for one in score.items)


def test_what_somebody_attests_counts_half_and_says_who(shop: Project) -> None:
    with_model(shop)
    known = [one.id for one in readiness.TESTS]
    readiness.attest(shop, "m", "data-2", "ablation, notes/features.md", known=known)
    (score,) = loop.check(shop).scores
    (item,) = [one for one in score.items if one.points]
    assert (item.id, item.points, item.proof.startswith("event/")) == ("data-2", 0.5, True)
    assert "attested by ana" in item.detail
    for test, reason, error in (("data-8", "x", readiness.NoSuchTest), ("data-3", " ", readiness.NoReason)):
        with pytest.raises(error):
            readiness.attest(shop, "m", test, reason, known=known)


def test_people_who_approve_and_judge_by_hand_earn_half(root: Path, clock: SimulatedClock) -> None:
    project = open_guarded(root, clock, "")
    judge(project, "model/m@2", good=True)
    approve(project, 2, "eva", "leo")
    found = readiness.scored(project, "m")[0]
    declared = {"infra-4": 0.5, "infra-6": 0.5, "monitor-4": 0.5, "monitor-7": 0.5}
    assert points(found) == {"model-1": 0.5, **declared}
    (bare,) = readiness.scored(project, "unguarded")
    project.close()
    assert points(bare) == {}


def test_views_checked_by_hand_earn_half_until_they_change(shop: Project) -> None:
    with_model(shop)
    data.commit(shop, {"sales": pl.DataFrame({"x": [1.0]})}, message="m")
    view = features.views_of(shop.modules())["sold"]
    assert isinstance(view, features.FeatureView)
    features.checked(shop, view, passed=True, cuts=3)
    assert points(readiness.scored(shop)[0]) == {"data-7": 0.5}
    rewrite(shop, "return sales", "return sales.head(1)")
    assert points(readiness.scored(shop)[0]) == {}


def test_tests_that_import_the_code_are_found(shop: Project) -> None:
    with_model(shop)
    (shop.root / "tests").mkdir()
    (shop.root / "tests" / "test_flow.py").write_text("from shop_flow import sold\n")
    (score,) = readiness.scored(shop)
    assert points(score) == {"data-7": 0.5}


def test_controls_of_privacy_and_purpose_are_seen(shop: Project) -> None:
    with_model(shop)
    data.commit(shop, {"sales": pl.DataFrame({"email": ["a@b.org"]})}, message="m")
    governance.grant(shop, "eva", "read", "table/sales")
    assert points(readiness.scored(shop)[0]) == {"data-5": 0.5}
    data.tag_columns(shop, "sales", {"email": data.ColumnTag(kind="email")})
    data.describe(shop, "sales", purposes=("pricing",))
    assert points(readiness.scored(shop)[0]) == {"data-4": 0.5, "data-5": 1.0}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The toy loop after its three weeks."""
    root = tmp_path_factory.mktemp("ready") / "toy"
    shutil.copytree(JOURNEYS / "toy", root)
    subprocess.run([sys.executable, str(JOURNEYS / "toy_loop.py"), str(root)], check=True, capture_output=True)
    sys.modules.pop("toy_pipeline", None)
    opened = Project.open(root, actor="ana")
    yield opened
    opened.close()


def test_a_loop_that_runs_by_itself_earns_its_points_and_no_others(toy: Project) -> None:
    (score,) = loop.check(toy).scores
    assert points(score) == {
        "infra-3": 1.0,
        "infra-4": 1.0,
        "infra-5": 0.5,
        "infra-6": 1.0,
        "infra-7": 0.5,
        "monitor-2": 0.5,
        "monitor-3": 1.0,
        "monitor-4": 1.0,
        "monitor-5": 1.0,
        "monitor-6": 1.0,
        "monitor-7": 0.5,
    }
    assert (score.sections, score.score) == ({"data": 0.0, "model": 0.0, "infra": 4.0, "monitor": 5.0}, 0.0)
    events = {one.proof for one in score.items if one.proof.startswith("event/")}
    kinds = {event.kind for event in toy.ledger.events() if f"event/{event.seq}" in events}
    assert kinds == {"gates.judged", "loop.done", "monitoring.watched"}


def test_steps_computed_again_by_hand_earn_half(toy: Project) -> None:
    for step in pipelines.step_runs(toy, registry.version(toy, "toy", "champion").execution):
        assert pipelines.reproduce(toy, step).identical
    (score,) = loop.check(toy).scores
    assert points(score)["infra-1"] == 0.5


def test_every_finding_that_is_not_ok_says_what_mends_it(toy: Project) -> None:
    found: tuple[Finding, ...] = loop.check(toy).findings
    assert all(one.fix for one in found if one.state != "ok")
