"""Over: which datums a tree holds: by a pattern, or by several that are put together.

The words are Pachyderm's: a glob makes each match a datum; `cross` pairs each of one with each of the next, `join` only
those that captured the same, `union` sets them side by side, `group` makes one of all that captured the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

from bucle.line.datums.datum import Datum, Part
from bucle.line.datums.errors import BadDatums
from bucle.line.files import FOLDER, LINK, FileEntry

__all__ = ["Kind", "Over", "datums_in", "over_of"]

Kind = Literal["glob", "cross", "join", "union", "group"]

_TOKENS = re.compile(r"\*\*|\*|\?|\(|\)|[^*?()]+")
_SIGNS = {"*": "[^/]*", "?": "[^/]", "**": ".*", "(": "(", ")": ")"}


class Over(NamedTuple):
    """What is gone over.

    Attributes:
        kind: how the patterns are put together.
        patterns: paths with `*` (no `/`), `?`, `**` (anything), and `(…)` around what is captured. `a/*` matches the
            files and folders in `a`, a folder with all that is below; one with `**` matches files only.
    """

    kind: Kind
    patterns: tuple[str, ...]


class _Match(NamedTuple):
    captured: tuple[str, ...]
    part: Part


def over_of(value: str | Mapping[str, Any], where: str) -> Over:
    """What `over = …` says: a pattern, or `{cross = [PATTERN, …]}`; `join`, `union` and `group` likewise.

    Raises:
        BadDatums: it says something else, or a pattern cannot be understood.
    """
    kinds: tuple[Kind, ...] = ("cross", "join", "union", "group")
    if isinstance(value, str):
        return _checked(Over("glob", (value,)), where)
    for kind in kinds:
        patterns = value.get(kind)
        if len(value) == 1 and isinstance(patterns, list | str):
            return _checked(Over(kind, (patterns,) if isinstance(patterns, str) else tuple(patterns)), where)
    raise BadDatums(
        f"{where}: `over` is {dict(value)!r}.",
        why="It says which files make a datum.",
        fix='Write over = "images/*.png", or over = {cross = ["images/*", "models/*"]}, with join, union or group.',
        at=where,
    )


def datums_in(tree: Mapping[str, FileEntry], over: str | Mapping[str, Any] | Over, *, at: str = "over") -> list[Datum]:
    """The datums of a tree.

    Args:
        tree: path -> entry; links and empty folders are passed over.
        over: what is gone over, as `bucle.toml` says it.
        at: where it is said, for messages.
    Returns:
        Each once, by name.
    Raises:
        BadDatums: a pattern cannot be understood.
    Cost: one look at every path for each pattern; `cross` makes as many datums as its patterns' matches multiplied.
    """
    wanted = over if isinstance(over, Over) else over_of(over, at)
    files = {path: entry for path, entry in sorted(tree.items()) if entry.mode not in (LINK, FOLDER)}
    matches = [list(_matches(files, pattern)) for pattern in wanted.patterns]
    found = {datum.key: datum for datum in (_datum(parts) for parts in _put_together(wanted.kind, matches))}
    return sorted(found.values(), key=lambda datum: (datum.name, datum.key))


def _put_together(kind: Kind, matches: Sequence[list[_Match]]) -> Iterator[tuple[Part, ...]]:
    if kind == "cross":
        yield from (tuple(one.part for one in chosen) for chosen in product(*matches))
    elif kind == "join":
        yield from _joined(matches)
    elif kind == "group":
        yield from _grouped(one for found in matches for one in found)
    else:
        yield from ((one.part,) for found in matches for one in found)


def _joined(matches: Sequence[list[_Match]]) -> Iterator[tuple[Part, ...]]:
    by_captured = [defaultdict[tuple[str, ...], list[Part]](list) for _ in matches]
    for found, held in zip(matches, by_captured, strict=True):
        for one in found:
            held[one.captured].append(one.part)
    for captured in by_captured[0]:
        yield from product(*(held.get(captured, []) for held in by_captured))


def _grouped(matches: Iterable[_Match]) -> Iterator[tuple[Part, ...]]:
    groups = defaultdict[tuple[str, ...], list[Part]](list)
    for one in matches:
        groups[one.captured].append(one.part)
    yield from (tuple(parts) for parts in groups.values())


def _matches(files: Mapping[str, FileEntry], pattern: str) -> Iterator[_Match]:
    """What a pattern matches: each match with the files at it or below it, by path."""
    matcher = re.compile(_expression(pattern), re.DOTALL)
    words = 0 if "**" in pattern else pattern.count("/") + 1
    found = dict[str, tuple[tuple[str, ...], dict[str, FileEntry]]]()
    for path, entry in files.items():
        name = "/".join(path.split("/")[:words]) if words else path
        if name in found:
            found[name][1][path] = entry
        elif matched := matcher.fullmatch(name):
            found[name] = matched.groups(), {path: entry}
    for name, (captured, held) in found.items():
        yield _Match(captured, Part(name=name, files=held))


def _expression(pattern: str) -> str:
    return "".join(_SIGNS.get(token) or re.escape(token) for token in _TOKENS.findall(pattern))


def _datum(parts: tuple[Part, ...]) -> Datum:
    return Datum(name=" + ".join(part.name for part in parts), parts=parts)


def _checked(over: Over, where: str) -> Over:
    for pattern in over.patterns:
        if not isinstance(pattern, str) or not pattern or pattern.startswith("/") or pattern.endswith("/"):
            raise _bad(pattern, where, "It is a path within the file tree.")
        if not _is_balanced(pattern):
            raise _bad(pattern, where, "Its brackets do not match, or lie in each other.")
    captures = {pattern.count("(") for pattern in over.patterns}
    if not over.patterns or (over.kind in ("cross", "join") and len(over.patterns) < 2):
        raise _bad(over.patterns, where, f"{over.kind} needs {'a pattern' if not over.patterns else 'two or more'}.")
    if over.kind in ("join", "group") and (captures == {0} or len(captures) > 1):
        raise _bad(over.patterns, where, f"{over.kind} compares what is captured, as often in each pattern.")
    return over


def _is_balanced(pattern: str) -> bool:
    signs = re.sub(r"[^()]", "", pattern)
    return signs == "()" * (len(signs) // 2)


def _bad(pattern: object, where: str, why: str) -> BadDatums:
    return BadDatums(
        f"{where}: the pattern {pattern!r} cannot be used.",
        why=why,
        fix='Write for example "images/*.png", "days/*" or {join = ["readings/(*).csv", "places/(*).json"]}.',
        at=where,
    )
