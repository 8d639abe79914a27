"""What spans of a trace used in all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bucle.line.tracing.span import storable, usage_of_tree

Node = tuple[str, str, dict[str, float]]


@st.composite
def trees(draw: st.DrawFn) -> list[Node]:
    """Spans, each under an earlier one or under none; some tell of tokens or costs."""
    count = draw(st.integers(0, 12))
    usages = st.dictionaries(
        st.sampled_from(["input_tokens", "total_tokens", "total_cost"]), st.integers(0, 9), max_size=2
    )
    nodes = []
    for number in range(count):
        parent = draw(st.integers(-2, number - 1))
        name = "" if parent == -1 else "missing" if parent == -2 else str(parent)
        nodes.append((str(number), name, dict(draw(usages))))
    return draw(st.permutations(nodes))


def by_recursion(nodes: list[Node], names: tuple[str, ...]) -> dict[str, float]:
    """The same rule said the slow way: a span counts unless one above it tells of the same."""
    known = {id_: (parent, usage) for id_, parent, usage in nodes}
    total: dict[str, float] = {}
    for id_, (_, usage) in known.items():
        if not any(name in usage for name in names):
            continue
        above, is_told = known[id_][0], False
        while above in known:
            is_told |= any(name in known[above][1] for name in names)
            above = known[above][0]
        if not is_told:
            for name in names:
                if name in usage:
                    total[name] = total.get(name, 0) + usage[name]
    return total


@given(trees())
def test_what_a_parent_sums_up_is_not_counted_again_below_it(nodes: list[Node]) -> None:
    tokens = by_recursion(nodes, ("input_tokens", "total_tokens"))
    costs = by_recursion(nodes, ("total_cost",))
    assert usage_of_tree(nodes) == {**tokens, **costs}


def test_spans_that_are_each_others_parents_are_passed_over() -> None:
    circle: list[Node] = [
        ("1", "2", {"input_tokens": 1}),
        ("2", "1", {"input_tokens": 1}),
        ("3", "", {"input_tokens": 5}),
    ]
    assert usage_of_tree(circle) == {"input_tokens": 5}


@given(st.text(st.characters(), max_size=20))
def test_any_text_can_be_stored(text: str) -> None:
    kept = storable(text)
    assert "\x00" not in kept
    kept.encode()
    assert storable(kept) == kept
