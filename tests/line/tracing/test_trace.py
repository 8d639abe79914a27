"""Traces: whole ones, and spans that come in any order, twice, or late."""

from __future__ import annotations

import msgspec
import pytest

from bucle.ground.project import Project
from bucle.line import tracing, tracking
from bucle.line.tracing.store import span_count, trace_rows
from line.tracing.trace_samples import at, span, trace, trace_id


def read(project: Project, number: int = 1) -> list[tracing.Span]:
    return [one for page in tracing.span_pages(project, trace_id(number)) for one in page]


def test_spans_alone_make_a_trace_that_reaches_from_the_first_to_the_last(project: Project) -> None:
    tracing.log_spans(project, "0", [span(1, 1, seconds=1.5, lasts=3.0)])
    begun = tracing.trace(project, trace_id(1))
    assert (begun.state, begun.started_at, begun.duration_ms) == ("IN_PROGRESS", at(1.5), 3000)

    tracing.log_spans(project, "0", [span(1, 0, seconds=1, lasts=2, status="ERROR", message="no"), span(1, 2)])
    ended = tracing.trace(project, trace_id(1))
    assert (ended.state, ended.started_at, ended.duration_ms) == ("ERROR", at(0), 4500)
    assert [one.id[-1] for one in read(project)] == ["1", "3", "2"]
    assert not ended.is_final


def test_a_span_comes_back_as_it_was_logged(any_project: Project) -> None:
    given = span(
        1,
        0,
        type="LLM",
        status="OK",
        message="ünï\x00",
        model="m",
        provider="p",
        usage={"input_tokens": 3.0},
        attributes={"b": {"deep": [1, 2.5, None, True, "x\x00y"]}, "a": 'q"uote\\'},
        events=(tracing.SpanEvent(name="e", at_ns=5, attributes={"k": 1}),),
        links=(tracing.SpanLink(trace_id=trace_id(2), span_id="1" * 16),),
    )
    tracing.log_spans(any_project, "0", [given])
    (found,) = read(any_project)
    assert found == given
    assert list(found.attributes) == ["b", "a"]


def test_what_the_client_tells_of_the_whole_wins_over_what_spans_say(any_project: Project) -> None:
    tracing.log_spans(any_project, "0", [span(1, 0, seconds=5, lasts=1, usage={"input_tokens": 1.0})])
    told = trace(1, seconds=2, duration_ms=7000, name="chat", usage={"input_tokens": 9.0}, request="hi")
    tracing.log_trace(any_project, told)
    tracing.log_spans(any_project, "0", [span(1, 1, seconds=0, lasts=90, usage={"input_tokens": 1.0})])
    found = tracing.trace(any_project, trace_id(1))
    assert (found.started_at, found.duration_ms, found.name, found.request) == (at(2), 7000, "chat", "hi")
    assert found.usage == {"input_tokens": 9}
    assert found.is_final
    assert found.has_spans


def test_logging_all_of_it_again_changes_nothing(any_project: Project) -> None:
    spans = [span(1, place, usage={"total_tokens": 2.0} if place else {}) for place in range(5)]
    told = trace(1, tags={"a": "1"}, metadata={"m": "2"}, run_ids=("r1",), session="s")
    for _ in range(2):
        tracing.log_spans(any_project, "0", spans)
        tracing.log_trace(any_project, told)
    found = tracing.trace(any_project, trace_id(1))
    assert found.usage == {"total_tokens": 8}
    assert (found.tags, found.metadata, found.run_ids, found.session) == ({"a": "1"}, {"m": "2"}, ("r1",), "s")
    assert read(any_project) == spans


def test_spans_of_several_traces_are_kept_together_or_not_at_all(project: Project) -> None:
    good, bad = span(1, 0), span(2, 0, id="not hex")
    with pytest.raises(tracing.BadTrace, match="16 hexadecimal digits"):
        tracing.log_spans(project, "0", [good, bad])
    assert tracing.traces_by_ids(project, [trace_id(1), trace_id(2)]) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": ""}, "16 hexadecimal"),
        ({"parent": "xyz"}, "parent's id"),
        ({"id": "a" * 16, "parent": "a" * 16}, "its own parent"),
        ({"started_ns": -1}, "no instant"),
        ({"ended_ns": 1 << 63}, "no instant"),
        ({"trace_id": ""}, "id of a trace"),
        ({"trace_id": "tr-\x00"}, "id of a trace"),
        ({"attributes": {"blob": "x" * (17 << 20)}}, "17,825"),
    ],
)
def test_a_span_that_cannot_be_kept_is_refused_by_name(bare: Project, fields: dict, words: str) -> None:
    with pytest.raises(tracing.BadTrace, match=words):
        tracing.log_spans(bare, "0", [msgspec.structs.replace(span(1, 0), **fields)])


def test_a_thousand_spans_are_one_write_and_are_read_in_pieces(project: Project) -> None:
    spans = [span(1, place, seconds=place / 1000) for place in range(1000)]
    project.database.grouped(tracing.write_spans(0, spans, {}))
    pages = list(tracing.span_pages(project, trace_id(1)))
    assert [len(page) for page in pages] == [200] * 5
    assert [one for page in pages for one in page] == spans


def test_large_spans_are_read_one_by_one(project: Project) -> None:
    sizes = [10, 3 << 20, 3 << 20, 10, 10, 9 << 20, 10]
    spans = [span(1, place, seconds=place, attributes={"x": "y" * size}) for place, size in enumerate(sizes)]
    tracing.log_spans(project, "0", spans)
    pages = [[len(one.attributes["x"]) for one in page] for page in tracing.span_pages(project, trace_id(1))]
    assert pages == [[10, 3 << 20], [3 << 20, 10, 10], [9 << 20], [10]]


def test_a_trace_asked_for_whole_says_when_spans_are_missing(project: Project) -> None:
    tracing.log_spans(project, "0", [span(1, 0)])
    with pytest.raises(tracing.TraceIncomplete, match="1 of 2 spans"):
        next(tracing.span_pages(project, trace_id(1), at_least=2))
    with pytest.raises(tracing.NoSuchTrace):
        next(tracing.span_pages(project, trace_id(9)))


def test_tags_and_the_name_change_and_metadata_stays(project: Project) -> None:
    tracing.log_trace(project, trace(1, tags={"a": "1"}, metadata={"m": "1"}))
    tracing.change_trace(project, trace_id(1), tags={"a": "2", "b": "x" * 9000}, name="new")
    found = tracing.trace(project, trace_id(1))
    assert (found.name, found.tags["a"], len(found.tags["b"]), found.metadata) == ("new", "2", 8000, {"m": "1"})
    assert tracing.delete_trace_tag(project, trace_id(1), "a")
    assert not tracing.delete_trace_tag(project, trace_id(1), "a")
    with pytest.raises(tracing.BadTrace, match="no key"):
        tracing.change_trace(project, trace_id(1), tags={" ": "x"})
    with pytest.raises(tracing.NoSuchTrace):
        tracing.change_trace(project, trace_id(2), tags={"a": "1"})


def test_traces_are_linked_to_runs_and_prompts_once(any_project: Project) -> None:
    tracing.log_trace(any_project, trace(1, run_ids=("made-in",)))
    for _ in range(2):
        tracing.link_traces(any_project, [trace_id(1), trace_id(7)], "linked")
        tracing.link_prompts(any_project, trace_id(1), [("greet", "2")])
    assert tracing.trace(any_project, trace_id(1)).run_ids == ("linked", "made-in")
    assert tracing.count_traces(any_project, ["0"], filter="prompt = 'greet/2'") == 1


def test_deleting_takes_the_oldest_first_with_all_that_belongs_to_them(any_project: Project) -> None:
    for number in range(6):
        tracing.log_trace(any_project, trace(number, tags={"a": "1"}))
        tracing.log_spans(any_project, "0", [span(number, 0, seconds=number)])
    now = any_project.clock.now()
    said = tracing.Assessment(trace_id="", name="x", kind="feedback", value=1, created_at=now, updated_at=now)
    tracing.log_assessments(any_project, trace_id(0), [said])

    assert tracing.delete_traces(any_project, "0", until=at(3), limit=2) == 2
    assert tracing.delete_traces(any_project, "0", ids=[trace_id(5), trace_id(99)]) == 1
    assert tracing.delete_traces(any_project, "7", until=at(99)) == 0
    left = [one.id for one in tracing.search_traces(any_project, ["0"]).items]
    assert left == [trace_id(4), trace_id(3), trace_id(2)]
    with any_project.database.reading() as connection:
        assert trace_rows(connection, [trace_id(0)]) == []
        assert span_count(connection, 1) == 0
    kinds = [event.kind for event in any_project.ledger.events(kinds=["tracking.traces_deleted"])]
    assert len(kinds) == 2
    with pytest.raises(tracing.NoSuchTrace):
        tracing.log_assessments(any_project, trace_id(0), [said])


def test_nothing_is_logged_to_an_experiment_that_is_deleted_or_unknown(project: Project) -> None:
    made = tracking.create_experiment(project, "gone")
    tracking.delete_experiment(project, made.id)
    with pytest.raises(tracking.ExperimentDeleted):
        tracing.log_spans(project, made.id, [span(1, 0)])
    for unknown in ("4711", "abc", ""):
        with pytest.raises(tracking.NoSuchExperiment):
            tracing.log_trace(project, trace(1, experiment_id=unknown))


def test_another_process_may_have_made_the_trace_meanwhile(any_project: Project) -> None:
    other = Project.open(any_project.root, database=any_project.database.url, actor="bo")
    try:
        for place in range(10):
            tracing.log_spans((any_project, other)[place % 2], "0", [span(1, 9 - place, seconds=9 - place)])
        found = tracing.trace(other, trace_id(1))
        assert (found.started_at, found.duration_ms, found.state) == (at(0), 10_000, "OK")
    finally:
        other.close()
