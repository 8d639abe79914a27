"""Diff: where two environments are not the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from bucle.ground.core import Environment, Machine, Record, short, to_builtins

__all__ = ["Difference", "Part", "diff", "diff_mappings"]

Part = Literal["python", "package", "build", "machine", "setting"]


class Difference(Record, frozen=True):
    """One thing that two environments do not share.

    Attributes:
        part: `python` for its version, implementation and system; `package` for a version; `build` for another build
            of one version; `machine` for what no result is kept apart for; `setting` for one of `bucle.toml`.
        name: of the package, the setting or the property.
        left: what the first has; empty when it has none.
        right: what the second has; empty when it has none.
    """

    part: Part
    name: str
    left: str
    right: str

    @property
    def counts(self) -> bool:
        """Whether results may differ by it: it is part of every step's key."""
        return self.part in ("python", "package", "build")


def diff(left: Environment, right: Environment) -> list[Difference]:
    """Every difference, those that count first. Builds are compared where both are known."""
    both = left.contents.keys() & right.contents.keys()
    same = sorted(name for name in both if left.packages.get(name) == right.packages.get(name))
    builds = [{name: short(one.contents[name]) for name in same} for one in (left, right)]
    return [
        *diff_mappings("python", _kind(left), _kind(right)),
        *diff_mappings("package", left.packages, right.packages),
        *diff_mappings("build", *builds),
        *diff_mappings("machine", _machine(left.machine), _machine(right.machine)),
    ]


def diff_mappings(part: Part, left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    """The names under which two mappings have not the same, in order."""
    for name in sorted(left.keys() | right.keys()):
        one, other = left.get(name, ""), right.get(name, "")
        if one != other:
            yield Difference(part=part, name=name, left=one, right=other)


def _kind(one: Environment) -> dict[str, str]:
    return {"python": one.python, "implementation": one.implementation, "system": one.system}


def _machine(one: Machine | None) -> dict[str, str]:
    if one is None:
        return {}
    plain = to_builtins(one)
    return {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in plain.items()}
