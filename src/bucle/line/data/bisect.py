"""Bisect: which commit broke it?

Source: the search of `git bisect`: of the suspects, the one that most evenly parts those it comes from and the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bucle.ground.core import Record, short
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import BadBisection

__all__ = ["Bisection", "bisect"]

Graph = Mapping[str, tuple[str, ...]]


class Bisection(Record, frozen=True):
    """Which commit broke it.

    Attributes:
        suspects: the first bad commit; several when the ones between could not be judged.
        judged: commit -> whether it was good, None when it could not be judged; in the order they were asked.
    """

    suspects: tuple[Commit, ...]
    judged: dict[str, bool | None]


def bisect(project: Project, good: str, bad: str, judge: Callable[[Commit], bool | None]) -> Bisection:
    """Find the first bad commit between a good and a bad one.

    Args:
        good: a commit that is well; an ancestor of `bad`.
        bad: a commit that is not.
        judge: says of a commit whether it is good; None when that cannot be said.
    Raises:
        BadBisection: `good` is no ancestor of `bad`, or the same.
        NoSuchCommit: one of them is not there.
    Cost: about log2 of the commits between them are judged.
    """
    start, end = resolve(project, good), resolve(project, bad)
    with project.database.reading() as connection:
        graph = store.graph(connection, end.id)
        well = store.ancestors(connection, start.id)
    if start.id not in graph or start.id == end.id:
        raise BadBisection(
            f"Commit {short(start.id)} is not one that {short(end.id)} came from.",
            why="What broke it happened after the good commit and up to the bad one.",
            fix="Name a good commit of the same branch, older than the bad one: bucle data log",
            at=good,
        )
    suspects, known_bad, judged = [one for one in graph if one not in well], end.id, dict[str, bool | None]()
    while (asked := _next(graph, suspects, known_bad, judged)) is not None:
        judged[asked] = judge(resolve(project, asked))
        suspects = _left(graph, suspects, asked, judged[asked])
        known_bad = asked if judged[asked] is False else known_bad
    return Bisection(suspects=tuple(resolve(project, one) for one in suspects), judged=judged)


def _next(graph: Graph, suspects: list[str], bad: str, judged: Mapping[str, object]) -> str | None:
    """The suspect to ask about: the one whose answer halves the rest best."""
    comes_from = _reach(graph, suspects)
    open_ones = [one for one in suspects if one != bad and one not in judged]
    total = len(suspects)
    return max(open_ones, key=lambda one: min(comes_from[one], total - comes_from[one]), default=None)


def _left(graph: Graph, suspects: list[str], asked: str, is_good: bool | None) -> list[str]:
    """The suspects after an answer: a good commit clears all it comes from, a bad one all that it does not."""
    if is_good is None:
        return suspects
    behind = _behind(graph, set(suspects), asked)
    return [one for one in suspects if (one in behind) != is_good]


def _reach(graph: Graph, suspects: Iterable[str]) -> dict[str, int]:
    """Suspect -> how many suspects it comes from, itself included."""
    bits = dict[str, int]()
    for place, one in enumerate(suspects):
        bits[one] = 1 << place
        for parent in graph[one]:
            bits[one] |= bits.get(parent, 0)
    return {one: found.bit_count() for one, found in bits.items()}


def _behind(graph: Graph, suspects: set[str], commit: str) -> set[str]:
    behind, left = set[str](), [commit]
    while left:
        one = left.pop()
        if one in suspects and one not in behind:
            behind.add(one)
            left.extend(graph[one])
    return behind
