"""`/lineage?of=ref`: what does this come from, and what does it touch?"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bucle.doors.ui.parameters import Text
from bucle.ground.core import Record, split_ref
from bucle.ground.ledger import Edge
from bucle.ground.project import Project

__all__ = ["Lineage", "lineage"]

Depth = Annotated[int, msgspec.Meta(ge=1, le=12)]

MOST = 400
"""Edges beyond this many are not drawn; the page says so."""


class Lineage(Record, frozen=True):
    """What leads to a ref and what came of it.

    Attributes:
        of: the ref; empty when none was asked for.
        depth: steps in each direction.
        edges: upstream and downstream, nearest first.
        hidden: edges left out because there were too many.
        examples: refs to begin with, when none was asked for.
    """

    of: str
    depth: int
    edges: tuple[Edge, ...]
    hidden: int
    examples: tuple[str, ...]


def lineage(project: Project, *, of: Text = "", depth: Depth = 3) -> Lineage:
    """The graph around a ref.

    Args:
        of: a ref, `kind/name@version`.
        depth: so many steps up and down.
    Raises:
        BadName: it is no ref.
    """
    if not of:
        recent = project.ledger.events(
            kinds=["registry.version_registered", "data.committed", "gates.judged"], limit=12, newest_first=True
        )
        return Lineage(of="", depth=depth, edges=(), hidden=0, examples=tuple(dict.fromkeys(e.subject for e in recent)))
    split_ref(of)
    up = project.ledger.lineage(of, upstream=True, depth=depth)
    down = project.ledger.lineage(of, upstream=False, depth=depth)
    every = list(dict.fromkeys((edge.source, edge.target, edge.kind) for edge in (*_mixed(up, down),)))
    edges = tuple(Edge(source=source, target=target, kind=kind) for source, target, kind in every[:MOST])
    return Lineage(of=of, depth=depth, edges=edges, hidden=max(0, len(every) - MOST), examples=())


def _mixed(up: list[Edge], down: list[Edge]) -> list[Edge]:
    """Both directions, nearest first, so that what is left out is what is far away."""
    longest = max(len(up), len(down))
    return [edge for index in range(longest) for side in (up, down) for edge in side[index : index + 1]]
