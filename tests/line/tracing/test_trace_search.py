"""Search of traces: each clause against the same question asked in Python, pages against the whole, errors by place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bucle.ground.core import BadFilter, SimulatedClock
from bucle.ground.project import Project
from bucle.line import tracing, tracking
from bucle.line.tracing import search_store as trace_search_store
from doors.mlflow.conftest import new_database
from line.tracing.trace_samples import START, at, span, trace, trace_id

COUNT = 40


def fill(project: Project) -> None:
    other = tracking.create_experiment(project, "other")
    for n in range(COUNT):
        tracing.log_trace(
            project,
            trace(
                n,
                seconds=n // 2,  # two traces at each instant: the id decides
                state="ERROR" if n % 5 == 0 else "OK",
                duration_ms=None if n % 7 == 0 else n * 10,
                name=f"Job-{n % 4}" if n % 4 else "",
                session=f"s{n % 3}" if n % 3 else "",
                client_request_id=f"req-{n}" if n % 2 else None,
                tags={"team": "search" if n % 2 else "ads", **({"note": f"100%_{n}\\['x']"} if n % 9 == 0 else {})},
                metadata={"user": f"u{n % 6}", "long": "y" * 200 + str(n % 2)},
                run_ids=(f"run{n % 5}",) if n % 2 else (),
            ),
        )
        tracing.log_spans(
            project,
            "0",
            [
                span(n, 0, seconds=n // 2, name="root", type="CHAIN", attributes={"n": n, "flag": n % 2 == 0}),
                span(
                    n,
                    1,
                    seconds=n // 2,
                    name="ask" if n % 3 else "find",
                    type="LLM" if n % 3 else "RETRIEVER",
                    status="ERROR" if n % 10 == 0 else "OK",
                    attributes={"model": f"gpt-{n % 4}", "q": {"text": f'says "{n}" ~ ünï'}, "a.b$": "dotted"},
                ),
            ],
        )
        if n % 4 == 0:
            now = project.clock.now()
            value: Any = (0.25 * (n % 3), n % 8 == 0, "yes" if n % 8 else "No way")[n // 4 % 3]
            said = {"trace_id": "", "created_at": now, "updated_at": now}
            tracing.log_assessments(
                project,
                trace_id(n),
                [
                    tracing.Assessment(name="good", kind="feedback", value=value, **said),
                    tracing.Assessment(name="right", kind="expectation", value={"a": n}, **said),
                ],
            )
    tracing.link_prompts(project, trace_id(3), [("greet", "1")])
    tracing.link_traces(project, [trace_id(4)], "run0")
    tracing.log_trace(project, trace(1000, experiment_id=other.id, tags={"team": "search"}))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root: Path = tmp_path_factory.mktemp("traces")
    (root / "bucle.toml").write_text('[project]\nname = "traces"\n')
    if request.param == "sqlite":
        yield from opened(root, "")
    else:
        with new_database(request.getfixturevalue("postgres_server")) as url:
            yield from opened(root, url)


def opened(root: Path, url: str) -> Iterator[Project]:
    project = Project.open(root, clock=SimulatedClock(START), database=url, actor="ana")
    fill(project)
    yield project
    project.close()


def found(project: Project, text: str, **more: Any) -> list[int]:
    page = tracing.search_traces(project, ["0"], filter=text, limit=1000, **more)
    return [int(one.id.removeprefix("tr-"), 16) for one in page.items]


Question = tuple[str, Callable[[int], bool]]

QUESTIONS: list[Question] = [
    ("", lambda n: True),
    ("trace.status = 'ERROR'", lambda n: n % 5 == 0),
    ("status != 'ERROR'", lambda n: n % 5 != 0),
    ("attributes.status IN ('ERROR', 'IN_PROGRESS')", lambda n: n % 5 == 0),
    ("name = 'Job-1'", lambda n: n % 4 == 1),
    ("trace.name LIKE 'job%'", lambda n: False),
    ("trace.name ILIKE 'job-_'", lambda n: n % 4 != 0),
    ("name RLIKE '^Job-[12]$'", lambda n: n % 4 in (1, 2)),
    ("name NOT IN ('Job-1', 'Job-2')", lambda n: n % 4 == 3),
    ("timestamp >= {start_ms} AND timestamp_ms < {start_ms_plus_5}", lambda n: n // 2 < 5),
    ("request_time > '2025-03-01T12:00:10Z'", lambda n: n // 2 > 10),
    ("execution_time > 200", lambda n: n % 7 != 0 and n * 10 > 200),
    ("execution_time_ms <= 50", lambda n: n % 7 != 0 and n <= 5),
    ("end_time_ms < {start_ms_plus_5}", lambda n: (n // 2) * 1000 + (0 if n % 7 == 0 else n * 10) < 5000),
    ("request_id = 'tr-00000000000000000000000000000007'", lambda n: n == 7),
    ("client_request_id = 'req-7'", lambda n: n == 7),
    ("session = 's1'", lambda n: n % 3 == 1),
    ("session_id IS NULL", lambda n: n % 3 == 0),
    ("tags.team = 'search'", lambda n: n % 2 == 1),
    ("tag.team != 'search'", lambda n: n % 2 == 0),
    ("tags.`note` LIKE '100\\%'", lambda n: False),
    ("tags.note LIKE '100%\\[''x'']'", lambda n: n % 9 == 0),
    ("tags.note IS NOT NULL", lambda n: n % 9 == 0),
    ("tags.note IS NULL AND tags.team = 'ads'", lambda n: n % 9 != 0 and n % 2 == 0),
    ("tags.team RLIKE 'ear'", lambda n: n % 2 == 1),
    ("metadata.user = 'u5' AND request_metadata.`user` LIKE 'u%'", lambda n: n % 6 == 5),
    ("metadata.long = '" + "y" * 200 + "1'", lambda n: n % 2 == 1),
    ("run_id = 'run0'", lambda n: n == 4 or (n % 2 == 1 and n % 5 == 0)),
    ("trace.run_id IN ('run1', 'run3')", lambda n: n % 2 == 1 and n % 5 in (1, 3)),
    ("metadata.`mlflow.sourceRun` = 'run0'", lambda n: n == 4 or (n % 2 == 1 and n % 5 == 0)),
    ("run_id != 'run1'", lambda n: not (n % 2 == 1 and n % 5 == 1)),
    ("prompt = 'greet/1'", lambda n: n == 3),
    ("span.name = 'find'", lambda n: n % 3 == 0),
    ("span.name = 'ask' AND span.status = 'ERROR'", lambda n: n % 10 == 0 and n % 3 != 0),
    ("span.name = 'root' AND span.type = 'LLM'", lambda n: False),
    ("span.type IN ('RETRIEVER', 'TOOL')", lambda n: n % 3 == 0),
    ("span.attributes.model = 'gpt-3'", lambda n: n % 4 == 3),
    ("span.attributes.model != 'gpt-3' AND span.name = 'ask'", lambda n: n % 4 != 3 and n % 3 != 0),
    ("span.attributes.model IN ('gpt-1', 'gpt-2')", lambda n: n % 4 in (1, 2)),
    ("span.attributes.model LIKE 'gpt-_'", lambda n: True),
    ("span.attributes.model RLIKE '[23]$'", lambda n: n % 4 in (2, 3)),
    ("span.attributes.n = '12'", lambda n: n == 12),
    ("span.attributes.flag = 'true'", lambda n: n % 2 == 0),
    ("span.attributes.`a.b$` = 'dotted'", lambda n: True),
    ("span.content LIKE '%says \"7\" ~ ünï%'", lambda n: n == 7),
    ("trace.text ILIKE '%SAYS%'", lambda n: True),
    ("feedback.good > 0.2", lambda n: n % 4 == 0 and n // 4 % 3 == 0 and 0.25 * (n % 3) > 0.2),
    ("feedback.good = 'true'", lambda n: n % 4 == 0 and n // 4 % 3 == 1 and n % 8 == 0),
    ("feedback.good LIKE 'No%'", lambda n: n % 4 == 0 and n // 4 % 3 == 2 and n % 8 == 0),
    ("feedback.good = 'yes'", lambda n: n % 4 == 0 and n // 4 % 3 == 2 and n % 8 != 0),
    ("feedback.good RLIKE '^(yes|No way)$'", lambda n: n % 4 == 0 and n // 4 % 3 == 2),
    ("expectation.right IS NOT NULL", lambda n: n % 4 == 0),
    ("feedback.good IS NULL", lambda n: n % 4 != 0),
    ("issue.id = 'none'", lambda n: False),
]
TIMES = {"start_ms": int(START.timestamp() * 1000), "start_ms_plus_5": int(at(5).timestamp() * 1000)}


@pytest.mark.parametrize("few", [0, 2000], ids=["walked", "looked up"])
def test_every_clause_finds_what_the_same_question_finds_in_python(
    filled: Project, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(trace_search_store, "FEW", few)
    wrong = {}
    for text, holds in QUESTIONS:
        expected = sorted((n for n in range(COUNT) if holds(n)), key=lambda n: (-(n // 2), n))
        answer = found(filled, text.format(**TIMES))
        if answer != expected:
            wrong[text] = (answer, expected)
    assert wrong == {}


def test_two_questions_joined_find_what_both_find(filled: Project) -> None:
    for one, other in zip(QUESTIONS, QUESTIONS[3:], strict=False):
        if "span." in one[0] and "span." in other[0]:
            continue  # those speak of one span
        both = " AND ".join(text for text in (one[0], other[0]) if text).format(**TIMES)
        assert set(found(filled, both)) == {n for n in range(COUNT) if one[1](n) and other[1](n)}, both


ORDERS = [
    "timestamp",
    "execution_time DESC",
    "status",
    "name",
    "request_id DESC",
    "tags.note DESC",
    "end_time",
    "session",
]


@examples(max_examples=15)
@given(
    order=st.lists(st.sampled_from(ORDERS), max_size=3, unique_by=lambda text: text.split()[0]), size=st.integers(1, 30)
)
def test_pages_laid_together_are_the_whole(filled: Project, order: list[str], size: int) -> None:
    whole, parts, token = found(filled, "", order_by=order), list[str](), ""
    while True:
        page = tracing.search_traces(filled, ["0"], order_by=order, limit=size, token=token)
        parts += [one.id for one in page.items]
        token = page.token
        if not token:
            break
    assert [int(id_.removeprefix("tr-"), 16) for id_ in parts] == whole


def test_what_has_no_value_comes_last_in_either_direction(filled: Project) -> None:
    for order in ("execution_time", "execution_time DESC"):
        assert {n % 7 for n in found(filled, "", order_by=[order])[-6:]} == {0}


def test_what_judges_a_conversation_is_found_at_each_of_its_traces(project: Project) -> None:
    for number, session in enumerate(["s1", "s1", "s2", ""]):
        tracing.log_trace(project, trace(number, session=session))
    now = project.clock.now()
    said = {"trace_id": "", "kind": "feedback", "created_at": now, "updated_at": now}
    whole = tracing.Assessment(name="calm", value=True, metadata={"mlflow.trace.session": "s1"}, **said)
    tracing.log_assessments(project, trace_id(0), [whole, tracing.Assessment(name="one", value=True, **said)])
    assert found(project, "feedback.calm = 'true'") == [1, 0]
    assert found(project, "feedback.calm IS NOT NULL") == [1, 0]
    assert found(project, "feedback.calm IS NULL") == [3, 2]
    assert found(project, "feedback.one = 'true'") == [0]


def test_only_the_experiments_asked_for_are_searched(filled: Project) -> None:
    assert len(tracing.search_traces(filled, ["0", "1"], filter="tags.team = 'search'").items) == COUNT // 2 + 1
    assert tracing.search_traces(filled, ["77", "x"]).items == ()
    assert tracing.count_traces(filled, ["0", "1"]) == COUNT + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("status = ", "At character 8, the filter ends"),
        ("nothing = 'x'", "Nothing is called 'nothing'"),
        ("tags.a > 'x'", "one of ="),
        ("span.weight = 'x'", "no span.weight"),
        ("span.content = 'x'", "LIKE"),
        ("issue.name = 'x'", "no issue.name"),
        ("status = 'OK' OR status = 'ERROR'", "OR at character 14"),
        ("timestamp > 'yesterday'", "ISO 8601"),
        ("name RLIKE '(a'", "no regular expression"),
        ("prompt LIKE 'x'", "one of ="),
        ("run_id LIKE 'x'", "one of ="),
        ("x" * 30_000, "30000 characters"),
        ("tags.a = 'x' AND", "At character 16"),
    ],
)
def test_a_filter_that_cannot_be_read_says_where_and_what_was_expected(bare: Project, text: str, words: str) -> None:
    with pytest.raises(BadFilter) as caught:
        tracing.search_traces(bare, ["0"], filter=text)
    assert words in str(caught.value)


def test_an_expression_that_would_hang_a_backtracking_engine_answers_at_once(filled: Project) -> None:
    assert found(filled, "metadata.long RLIKE '^(y+)+z$'") == []


def test_a_token_of_another_search_is_refused(filled: Project) -> None:
    token = tracing.search_traces(filled, ["0"], limit=1).token
    for wrong in (token[:-3], "nonsense", token + "AAAA"):
        with pytest.raises(tracking.BadToken):
            tracing.search_traces(filled, ["0"], limit=1, token=wrong)
    with pytest.raises(tracking.BadToken, match="another search"):
        tracing.search_traces(filled, ["0"], filter="status = 'OK'", limit=1, token=token)
    with pytest.raises(tracking.BadToken):
        tracing.search_traces(filled, ["0"], limit=0)


def test_the_indexes_lead_the_way(tmp_path: Path) -> None:
    (tmp_path / "bucle.toml").write_text('[project]\nname = "plan"\n')
    for project in opened(tmp_path, ""):
        plans = {
            text: plan(project, text)
            for text in (
                "",
                "status = 'OK'",
                "name = 'Job-1'",
                "tags.team = 'none'",
                "session = 's1'",
                "run_id = 'run1'",
            )
        }
        assert "ix_traces_experiment" in plans[""]
        assert "ix_traces_state" in plans["status = 'OK'"]
        assert "ix_traces_name" in plans["name = 'Job-1'"]
        assert "ix_trace_tags_value" in plans["tags.team = 'none'"]
        assert "ix_traces_session" in plans["session = 's1'"]
        assert "ix_trace_runs_run" in plans["run_id = 'run1'"]
        assert not any("SCAN traces" in one for one in plans.values())


def plan(project: Project, text: str) -> str:
    """How SQLite reads for a search."""
    from bucle.ground.core import parse_filter

    with project.database.reading() as connection:
        clauses = parse_filter(text, trace_search_store.GRAMMAR)
        where = trace_search_store.conditions_of(connection, ["0"], clauses)
        keys = trace_search_store.keys_of([])
        statement = trace_search_store.page_query(where, keys, limit=10)
        compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        return " | ".join(row.detail for row in rows)


def test_correlation_is_one_for_what_always_goes_together_and_minus_one_for_what_never_does(filled: Project) -> None:
    always = tracing.correlation(filled, ["0"], "span.name = 'find'", "span.type = 'RETRIEVER'")
    never = tracing.correlation(filled, ["0"], "status = 'OK'", "status = 'ERROR'")
    alone = tracing.correlation(filled, ["0"], "status = 'OK'", "name = 'nobody'")
    within = tracing.correlation(filled, ["0"], "status = 'OK'", "tags.team = 'ads'", within="name = 'Job-1'")
    assert (always.first, always.second, always.both, always.total) == (14, 14, 14, 40)
    assert always.npmi == pytest.approx(1.0)
    assert (never.npmi, never.both) == (-1.0, 0)
    assert alone.npmi != alone.npmi
    assert (within.total, within.second) == (10, 0)
