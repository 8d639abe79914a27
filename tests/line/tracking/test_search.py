"""Search: what it finds is what a look at every run finds, whichever way through the data it takes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from datetime import timedelta
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import BadFilter, SimulatedClock
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Run, search
from conftest import START

LONG = "x" * 200
TEXTS = ["", "a", "b", "A", "ab%", "a_b", "ñandú", "10", "9", LONG, LONG + "1", LONG + "2"]
NUMBERS = [0.0, 0.5, 0.25, -1.0, 1e300, math.inf, -math.inf, math.nan]
STATUSES = ["running", "scheduled", "finished", "failed", "killed"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, list[Run]]]:
    """Some runs of three experiments with every kind of value."""
    root: Path = tmp_path_factory.mktemp("search")
    (root / "bucle.toml").write_text('[project]\nname = "test"\n')
    url = "" if request.param == "sqlite" else request.getfixturevalue("search_url")
    project = Project.open(root, clock=SimulatedClock(START), database=url, actor="ana")
    chance = random.Random(7)
    experiments = [tracking.create_experiment(project, name).id for name in ("one", "two", "three")]
    for number in range(90):
        run = tracking.create_run(
            project,
            chance.choice(experiments),
            id=f"{chance.getrandbits(64):016x}",
            name=chance.choice(["same", f"run-{number:02}", "Same"]),
            actor=chance.choice(["ana", "bob"]),
            started_at=START + timedelta(milliseconds=chance.randrange(12)),
            params={key: chance.choice(TEXTS) for key in ("p", "q") if chance.random() < 0.7},
            tags={"t": chance.choice(TEXTS)} if chance.random() < 0.7 else {},
        )
        points = [
            tracking.Point(key, chance.choice(NUMBERS), step, step)
            for key in ("m", "n", "weird key/ü")
            if chance.random() < 0.7
            for step in range(chance.randrange(1, 4))
        ]
        tracking.log(project, run.id, points=points)
        if chance.random() < 0.3:
            named = chance.choice(["d1", "d2"])
            tracking.log_inputs(project, run.id, [tracking.Dataset(name=named, digest="x", context="train")])
        tracking.update_run(project, run.id, status=chance.choice(STATUSES))  # type: ignore[arg-type]
        if chance.random() < 0.15:
            tracking.delete_run(project, run.id)
    tracking.delete_experiment(project, experiments[2])
    with project.database.reading() as connection:
        everything = list(connection.execute(sa.select(search.RUNS.c.id)).scalars())
    yield project, tracking.runs_by_ids(project, everything)
    project.close()


@pytest.fixture(scope="module")
def search_url(postgres_server: str) -> Iterator[str]:
    url = sa.make_url(postgres_server).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE bucle_search")
    yield url.set(drivername="postgresql", database="bucle_search").render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE bucle_search WITH (FORCE)")
    admin.dispose()


Test = tuple[str, Any]
"""A filter, and the same as a function of a run."""


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def numbers() -> st.SearchStrategy[Test]:
    operators = {
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
    }

    def made(key: str, op: str, value: float) -> Test:
        written = f"`{key}`" if " " in key else key
        return (
            f"metrics.{written} {op} {value}",
            lambda run: not math.isnan(run.metrics.get(key, math.nan)) and operators[op](run.metrics[key], value),
        )

    return st.builds(
        made, st.sampled_from(["m", "n", "weird key/ü", "none"]), st.sampled_from(list(operators)),
        st.sampled_from([0.0, 0.5, 0.3, -2.0]),
    )  # fmt: skip


def texts() -> st.SearchStrategy[Test]:
    def made(scope: str, key: str, op: str, value: str) -> Test:
        def fits(run: Run) -> bool:
            held = getattr(run, scope).get(key)
            if op in ("IS NULL", "IS NOT NULL"):
                return (held is None) == (op == "IS NULL")
            return held is not None and (held == value) == (op == "=")

        return (f"{scope}.{key} {op}" + ("" if op.endswith("NULL") else f" {quoted(value)}"), fits)

    operators, values = st.sampled_from(["=", "!=", "IS NULL", "IS NOT NULL"]), st.sampled_from(TEXTS)
    params = st.builds(made, st.just("params"), st.sampled_from(["p", "q", "none"]), operators, values)
    return params | st.builds(made, st.just("tags"), st.just("t"), operators, values)


PATTERNS: list[Test] = [
    ("params.p LIKE 'a%'", lambda run: run.params.get("p", "").startswith("a")),
    ("params.p LIKE 'x%2'", lambda run: run.params.get("p", "").startswith("x") and run.params["p"].endswith("2")),
    ("params.p ILIKE 'A%'", lambda run: run.params.get("p", "").lower().startswith("a")),
    ("tags.t LIKE '_'", lambda run: len(run.tags.get("t", "")) == 1),
    ("tags.t LIKE '%d_'", lambda run: run.tags.get("t", "") == "ñandú"),
    ("tags.t ILIKE '%ÑAND_'", lambda run: run.tags.get("t", "") == "ñandú"),
    ("status = 'FINISHED'", lambda run: run.status == "finished"),
    ("attributes.status != 'running'", lambda run: run.status != "running"),
    ("attr.status LIKE 'F%'", lambda run: run.status in ("finished", "failed")),
    ("attributes.run_name = 'same'", lambda run: run.name == "same"),
    ("run_name ILIKE 'SAME'", lambda run: run.name.lower() == "same"),
    ("user_id IN ('bob', 'eve')", lambda run: run.actor == "bob"),
    ("datasets.name = 'd1'", lambda run: any(one.name == "d1" for one in run.datasets)),
    ("dataset.context LIKE 'tr%'", lambda run: bool(run.datasets)),
    ("datasets.name NOT IN ('d1')", lambda run: any(one.name != "d1" for one in run.datasets)),
    ("max.m > 0.3", lambda run: run.best["m"][1] > 0.3),
    ("min.n <= 0", lambda run: run.best["n"][0] <= 0),
    (
        f"start_time > {int(START.timestamp() * 1000) + 5}",
        lambda run: run.started_at - START > timedelta(milliseconds=5),
    ),
    (
        f"attributes.created = {int(START.timestamp() * 1000) + 5}",
        lambda run: run.started_at - START == timedelta(milliseconds=5),
    ),
    ("artifact_uri LIKE 'mlflow-artifacts:/1/%/artifacts'", lambda run: run.experiment_id == "1"),
]

TESTS = numbers() | texts() | st.sampled_from(PATTERNS)

ORDERS = [
    *("metrics.m", "metrics.n", "metrics.none", "metrics.`weird key/ü`", "max.m", "params.p", "tags.t"),
    *("start_time", "end_time", "run_name", "status", "run_id"),
]


class Told:
    """A run as the brute force sees it."""

    def __init__(self, project: Project, run: Run) -> None:
        self._run = run
        nothing = (math.nan, math.nan)
        found = {one.key: (one.least, one.greatest) for one in tracking.summaries(project, run.id)}
        self.best = {key: found.get(key, nothing) for key in ("m", "n")}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


def value_of(run: Any, order: str) -> Any:
    scope, _, key = order.partition(".")
    if scope == "metrics":
        return run.metrics.get(key.strip("`"))
    if scope == "max":
        return run.best["m"][1] if "m" in run.metrics else None
    if scope in ("params", "tags"):
        held = getattr(run, scope).get(key)
        return None if held is None else held.encode()
    found = getattr(run, {"start_time": "started_at", "end_time": "ended_at", "run_name": "name", "run_id": "id"}.get(
        scope, scope))  # fmt: skip
    return found.encode() if isinstance(found, str) else found


def compared(orders: list[tuple[str, bool]]) -> Any:
    def rank(value: Any) -> int:
        return 2 if value is None else 1 if isinstance(value, float) and math.isnan(value) else 0

    def compare(one: Any, other: Any) -> int:
        for order, ascending in orders:
            left, right = value_of(one, order), value_of(other, order)
            if rank(left) != rank(right):
                return rank(left) - rank(right)
            if rank(left) == 0 and left != right:
                return (-1 if left < right else 1) * (1 if ascending else -1)
        return 0

    return cmp_to_key(compare)


WAYS = {
    "walked": {"FEWEST": 0, "MOST_LOOKED_UP": 0},
    "looked up": {},
    "sorted": {"MOST_WALKS": 0, "MOST_LOOKED_UP": 0, "FEWEST": 0},
}


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), way=st.sampled_from(list(WAYS)))
def test_every_way_finds_what_a_look_at_every_run_finds(
    filled: tuple[Project, list[Run]], data: st.DataObject, way: str
) -> None:
    project, every = filled
    tests = data.draw(st.lists(TESTS, max_size=3))
    picked = data.draw(st.lists(st.sampled_from(ORDERS), max_size=3, unique=True))
    orders = [(order, data.draw(st.booleans())) for order in picked]
    experiments = data.draw(st.lists(st.sampled_from(["1", "2", "3", "99"]), unique=True))
    lifecycle = data.draw(st.sampled_from(["active", "active", "deleted", "all"]))
    told = [Told(project, run) for run in every if run.experiment_id in experiments]
    fitting = [run for run in told if lifecycle in ("all", run.lifecycle) and all(fits(run) for _, fits in tests)]
    named = [*orders, ("start_time", False), ("run_id", True)]
    expected = [run.id for run in sorted(fitting, key=compared(named))]
    asked = {
        "filter": " AND ".join(text for text, _ in tests),
        "lifecycle": lifecycle,
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in WAYS[way].items():
            patched.setattr(search, name, value)
        found, token = list[str](), ""
        limit = data.draw(st.sampled_from([1000, 7, 3]))
        written = [f"{order} {'ASC' if ascending else 'DESC'}" for order, ascending in orders]
        while True:
            page = tracking.search_runs(
                project, experiments, order_by=written, limit=limit, token=token, columns=(), **asked
            )
            found += [run.id for run in page.items]
            token = page.token
            if not token:
                break
        assert tracking.count_runs(project, experiments, **asked) == len(expected)
    assert found == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orders=st.lists(st.sampled_from(ORDERS), min_size=1, max_size=3, unique=True),
    directions=st.tuples(*[st.sampled_from(["ASC", "DESC"])] * 3),
    filter_=st.sampled_from(["", "status != 'KILLED'", "params.p IS NULL", "metrics.n > -2"]),
    ways=st.lists(st.sampled_from(list(WAYS)), min_size=2, max_size=4),
)
def test_pages_joined_are_the_whole_whichever_way_each_takes(
    filled: tuple[Project, list[Run]], orders: list[str], directions: tuple[str, ...], filter_: str, ways: list[str]
) -> None:
    project, _ = filled
    asked: dict[str, Any] = {
        "order_by": [f"{order} {direction}" for order, direction in zip(orders, directions, strict=False)],
        "filter": filter_,
        "lifecycle": "all",
        "columns": (),
    }
    expected = [run.id for run in tracking.search_runs(project, ["1", "2", "3"], **asked).items]
    found, token = list[str](), ""
    for way in itertools.cycle(ways):
        with pytest.MonkeyPatch.context() as patched:
            for name, value in WAYS[way].items():
                patched.setattr(search, name, value)
            page = tracking.search_runs(project, ["1", "2", "3"], limit=7, token=token, **asked)
        found += [run.id for run in page.items]
        token = page.token
        if not token:
            break
    assert found == expected


def test_only_what_is_asked_for_is_read(filled: tuple[Project, list[Run]]) -> None:
    project, every = filled
    whole = next(run for run in every if run.lifecycle == "active" and {"p", "q"} <= set(run.params) and run.metrics)
    (run,) = tracking.search_runs(
        project, [whole.experiment_id], filter=f"run_id = '{whole.id}'", columns=("params.p", "metrics", "tags.none")
    ).items
    assert run.params == {"p": whole.params["p"]}
    assert run.metrics.keys() == whole.metrics.keys()
    assert (run.tags, run.datasets) == ({}, ())
    (run,) = tracking.search_runs(project, [whole.experiment_id], filter=f"run_id = '{whole.id}'").items
    assert run.params == whole.params


def test_a_page_goes_on_while_runs_are_added_and_none_comes_twice(any_project: Project, clock: SimulatedClock) -> None:
    experiment = tracking.create_experiment(any_project, "e").id
    first = [tracking.create_run(any_project, experiment).id for _ in range(10)]
    seen, token = list[str](), ""
    while True:
        page = tracking.search_runs(any_project, [experiment], limit=3, token=token)
        seen += [run.id for run in page.items]
        clock.advance(timedelta(seconds=1))
        tracking.create_run(any_project, experiment)
        token = page.token
        if not token:
            break
    assert sorted(seen) == sorted(first)


def test_a_token_fits_only_the_search_it_came_with(project: Project) -> None:
    experiment = tracking.create_experiment(project, "e").id
    for _ in range(5):
        tracking.create_run(project, experiment)
    token = tracking.search_runs(project, [experiment], limit=2).token
    assert len(tracking.search_runs(project, [experiment], limit=5, token=token).items) == 3
    for wrong in ({"filter": "metrics.a > 1"}, {"order_by": ["start_time"]}, {"lifecycle": "all"}):
        with pytest.raises(tracking.BadToken, match="not one of ours"):
            tracking.search_runs(project, [experiment], token=token, **wrong)  # type: ignore[arg-type]
    for bad in ("0", "!!", token[:-4], token[::-1], "eyJvZmZzZXQiOiAyfQ=="):
        with pytest.raises(tracking.BadToken):
            tracking.search_runs(project, [experiment], token=bad)


@pytest.mark.parametrize("limit", [0, -1, 50_001])
def test_a_page_of_an_impossible_size_is_refused(project: Project, limit: int) -> None:
    with pytest.raises(tracking.BadToken):
        tracking.search_runs(project, ["0"], limit=limit)


@pytest.mark.parametrize(
    ("filter", "order"),
    [("metrics.a LIKE 'x'", []), ("params.a > 3", []), ("", ["datasets.name"]), ("run_id > 'a'", []), ("x", [])],
)
def test_what_cannot_be_searched_by_is_refused(project: Project, filter: str, order: list[str]) -> None:  # noqa: A002
    with pytest.raises(BadFilter):
        tracking.search_runs(project, ["0"], filter=filter, order_by=order)


def test_experiments_are_found_by_name_tag_and_time(any_project: Project, clock: SimulatedClock) -> None:
    made = {}
    for number in range(6):
        clock.advance(timedelta(minutes=1))
        tags = {"team": "fraud" if number % 2 else "churn"}
        made[number] = tracking.create_experiment(any_project, f"exp-{number}", tags=tags)
    tracking.delete_experiment(any_project, made[4].id)

    def names(**asked: Any) -> list[str]:
        return [one.name for one in tracking.search_experiments(any_project, **asked).items]

    assert names() == ["exp-5", "exp-3", "exp-2", "exp-1", "Default", "exp-0"]
    assert names(lifecycle="deleted") == ["exp-4"]
    assert names(filter="tags.team = 'fraud'", order_by=["name ASC"]) == ["exp-1", "exp-3", "exp-5"]
    assert names(filter="tags.team IS NULL") == ["Default"]
    assert names(filter="name LIKE 'exp-%' AND name != 'exp-2'", lifecycle="all", order_by=["experiment_id DESC"]) == [
        "exp-5", "exp-4", "exp-3", "exp-1", "exp-0"
    ]  # fmt: skip
    since = int(made[3].created_at.timestamp() * 1000)
    assert names(filter=f"creation_time >= {since}") == ["exp-5", "exp-3"]
    assert names(filter=f"experiment_id IN ('{made[0].id}', '0')") == ["Default", "exp-0"]
    page = tracking.search_experiments(any_project, limit=4)
    rest = tracking.search_experiments(any_project, limit=4, token=page.token)
    assert [one.name for one in rest.items] == ["Default", "exp-0"]
    assert rest.token == ""
