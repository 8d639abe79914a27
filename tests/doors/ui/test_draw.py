"""Coordinates: what is drawn lies within its drawing, whatever the numbers."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from bucle.doors.ui import draw, graph, ring
from bucle.ground.ledger import Edge

NUMBERS = st.floats(-1e6, 1e6)
PAIRS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=30)


@given(st.lists(st.none() | NUMBERS, max_size=40))
def test_a_sparkline_stays_within_its_box(values: list[float | None]) -> None:
    places = re.findall(r"([-\d.]+),([-\d.]+)", draw.spark(values, 96, 20))
    assert all(0 <= float(x) <= 96 and 0 <= float(y) <= 20 for x, y in places)


def test_a_gap_breaks_a_sparkline() -> None:
    assert draw.spark([1.0, 2.0, None, 3.0]).count("M") == 2


@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_an_axis_holds_every_value_between_round_ticks(values: list[float]) -> None:
    found = draw.axis(values, 200, 0)
    assert found.low <= min(values) + 1e-300
    assert found.high >= max(values) - 1e-300
    assert 2 <= len(found.ticks) <= 12


def test_a_cell_is_hot_from_its_threshold_on() -> None:
    assert [draw.heat(value, 0.2) for value in (0.0, 0.05, 0.1, 0.199, 0.2, 0.5, 9.0)] == [0, 1, 2, 3, 4, 5, 6]


@given(PAIRS)
def test_every_edge_points_right_when_there_is_no_circle(pairs: list[tuple[str, str]]) -> None:
    forward = [(a, b, "x") for a, b in pairs if a < b]
    lay = graph.layered(forward, alone="a")
    layer = {node.name: node.layer for node in lay.nodes}
    assert all(layer[source] < layer[target] for source, target, _ in forward)


@given(PAIRS)
def test_no_two_nodes_overlap_even_in_a_circle(pairs: list[tuple[str, str]]) -> None:
    lay = graph.layered([(a, b, "x") for a, b in pairs], alone="a")
    boxes = [(node.x, node.y) for node in lay.nodes]
    assert len(set(boxes)) == len(boxes)
    assert all(0 <= x <= lay.width - 190 and 0 <= y <= lay.height - 34 for x, y in boxes)


def test_a_thousand_nodes_are_laid_out_in_the_time_of_a_page() -> None:
    edges = [(f"n{n // 3}", f"n{n + 1}", "x") for n in range(1000)]
    started = time.perf_counter()
    assert len(graph.layered(edges).nodes) == 1001
    assert time.perf_counter() - started < 2


def test_a_heap_of_leaves_stands_as_one_box_that_leads_to_what_it_hangs_on() -> None:
    edges = [Edge(source="run/1", target=f"signal/{n}", kind="raised") for n in range(9)]
    lay = graph.of_edges([*edges, Edge(source="run/1", target="model/m@1", kind="made")], "model/m@1")
    boxes = {graph.unfolded(node.name) for node in lay.nodes}
    assert boxes == {("run/1", "run/1"), ("model/m@1", "model/m@1"), ("signal/9 \u00d7 signal", "run/1")}


def test_a_source_stands_beside_what_comes_of_it() -> None:
    lay = graph.layered([("a", "b", "x"), ("b", "c", "x"), ("late", "c", "x")])
    assert {node.name: node.layer for node in lay.nodes} == {"a": 0, "b": 1, "late": 1, "c": 2}


def test_the_ring_goes_round_and_closes() -> None:
    wide, narrow = ring.layout(8, 4), ring.layout(8, 2)
    assert [place.y for place in wide.places[:4]] == [42.0] * 4
    assert [place.x for place in wide.places[4:]] == [place.x for place in wide.places[3::-1]]
    assert len({(place.x, place.y) for place in narrow.places}) == 8
