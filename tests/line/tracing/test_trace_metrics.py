"""Figures over traces, against the same figures made with numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bucle.ground.core import BadFilter
from bucle.ground.project import Project
from bucle.line import tracing, tracking
from line.tracing.trace_samples import START, span, trace, trace_id

MS = int(START.timestamp() * 1000)


def fill(project: Project) -> list[float]:
    latencies = []
    for n in range(30):
        lasts = (n * 37) % 101
        latencies.append(float(lasts))
        kind = {"name": f"job-{n % 2}", "state": "ERROR" if n % 5 == 0 else "OK", "session": f"s{n % 4}" if n else ""}
        told = trace(
            n, seconds=n * 60, duration_ms=lasts, usage={"total_tokens": n}, tags={"team": f"t{n % 3}"}, **kind
        )
        tracing.log_trace(project, told)
        costs = {"total_cost": n / 10} if n % 2 else {}
        spans = [
            span(n, 0, seconds=n * 60, lasts=0.5),
            span(n, 1, seconds=n * 60, lasts=n / 1000, model="m", usage=costs),
        ]
        tracing.log_spans(project, "0", spans)
    return latencies


def figures(project: Project, view: str, metric: str, *kinds: object, **more: object) -> list[tracing.TraceFigure]:
    wanted = [
        tracing.Aggregation(kind="PERCENTILE", percentile=one)
        if isinstance(one, float)
        else tracing.Aggregation(kind=str(one))
        for one in kinds
    ]
    return tracing.trace_figures(project, ["0"], view, metric, wanted, **more)


def test_figures_are_those_that_numpy_makes(any_project: Project) -> None:
    values = np.array(fill(any_project))
    (found,) = figures(any_project, "TRACES", "latency", "AVG", "MIN", "MAX", 50.0, 99.0)
    expected = {
        "AVG": values.mean(),
        "MIN": values.min(),
        "MAX": values.max(),
        "P50.0": np.percentile(values, 50),
        "P99.0": np.percentile(values, 99),
    }
    assert found.values == pytest.approx(expected)

    by_name = figures(any_project, "TRACES", "latency", "AVG", 50.0, dimensions=["trace_name"])
    assert [one.dimensions for one in by_name] == [{"trace_name": "job-0"}, {"trace_name": "job-1"}]
    assert [one.values["P50.0"] for one in by_name] == [np.median(values[::2]), np.median(values[1::2])]

    states = figures(any_project, "TRACES", "trace_count", "COUNT", dimensions=["trace_status"])
    assert {one.dimensions["trace_status"]: one.values["COUNT"] for one in states} == {"ERROR": 6, "OK": 24}
    assert figures(any_project, "TRACES", "session_count", "COUNT")[0].values == {"COUNT": 4}

    hours = figures(
        any_project, "TRACES", "total_tokens", "SUM", interval_s=600, since_ms=MS, until_ms=MS + 20 * 60_000 - 1
    )
    assert [one.dimensions["time_bucket"][11:16] for one in hours] == ["12:00", "12:10"]
    assert [one.values["SUM"] for one in hours] == [sum(range(10)), sum(range(10, 20))]

    (costs,) = figures(any_project, "SPANS", "total_cost", "SUM", 100.0, dimensions=["span_model_name"])
    assert costs.values == pytest.approx({"SUM": sum(range(1, 30, 2)) / 10, "P100.0": 2.9})
    (slow,) = figures(any_project, "SPANS", "latency", "MAX", filters=["span.name = 'step-1'"])
    assert slow.values == {"MAX": 29.0}

    some = figures(
        any_project, "TRACES", "trace_count", "COUNT", filters=["trace.tag.team = 't1'", "trace.status = 'OK'"]
    )
    assert some[0].values["COUNT"] == len([n for n in range(30) if n % 3 == 1 and n % 5])
    assert figures(any_project, "TRACES", "trace_count", "COUNT", filters=["trace.metadata.x = 'y'"])[0].values == {
        "COUNT": 0
    }


def test_assessments_count_once_they_are_valid(project: Project) -> None:
    tracing.log_trace(project, trace(1))
    now = project.clock.now()

    def said(value: object, **more: object) -> tracing.Assessment:
        given = {"trace_id": "", "name": "good", "kind": "feedback", "created_at": now, "updated_at": now}
        return tracing.log_assessments(project, trace_id(1), [tracing.Assessment(**{**given, "value": value, **more})])[
            0
        ]

    first = said(0.2)
    said(0.4, overrides=first.id)
    said("yes")
    said({"not": "a number"})
    (mean,) = figures(project, "ASSESSMENTS", "assessment_value", "AVG", dimensions=["assessment_name"])
    assert mean.values == pytest.approx({"AVG": 0.7})
    counts = figures(project, "ASSESSMENTS", "assessment_count", "COUNT", dimensions=["assessment_value"])
    assert {one.dimensions["assessment_value"]: one.values["COUNT"] for one in counts} == {
        "0.4": 1,
        '"yes"': 1,
        '{"not":"a number"}': 1,
    }


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda p: figures(p, "ROWS", "latency", "AVG"), "'ROWS' is no view_type"),
        (lambda p: figures(p, "TRACES", "weight", "AVG"), "'weight' is no metric_name"),
        (lambda p: figures(p, "TRACES", "latency", "SUM"), "'SUM' is no aggregation_type"),
        (lambda p: figures(p, "TRACES", "latency", 101.0), "percentile_value"),
        (lambda p: figures(p, "TRACES", "latency", "AVG", dimensions=["trace_status"]), "dimension"),
        (lambda p: figures(p, "TRACES", "latency", "AVG", interval_s=60), "both ends"),
        (lambda p: figures(p, "TRACES", "latency", "AVG", filters=["span.name = 'x'"]), "cannot be filtered by a span"),
        (lambda p: figures(p, "TRACES", "latency", "AVG", filters=["trace.weight = 'x'"]), "no trace.weight"),
        (lambda p: figures(p, "TRACES", "latency", "AVG", filters=["trace.status > 'x'"]), "one of ="),
    ],
)
def test_what_cannot_be_asked_is_said_by_name(bare: Project, ask: Callable[[Project], object], words: str) -> None:
    with pytest.raises((tracking.BadQuery, BadFilter)) as caught:
        ask(bare)
    assert words in str(caught.value)
