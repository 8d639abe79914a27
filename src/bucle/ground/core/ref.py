"""How anything in a project is called: `kind/name@version`."""

from __future__ import annotations

import re
from typing import NewType

from bucle.ground.core.errors import UserError

__all__ = ["BadName", "Ref", "check_name", "make_ref", "split_ref"]

Ref = NewType("Ref", str)
"""`model/flights@3`, `run/4f1c…`, `commit/9a0b…`, `table/flights@9a0b…`, `blob/…`, `step/…`, `event/17`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}")


class BadName(UserError):
    """A name has characters that a ref, a file or a URL cannot carry."""

    code = "BU0109"


def check_name(name: str, what: str = "name") -> str:
    """The name itself when it can stand in a ref, a path and a URL.

    Raises:
        BadName: it is empty, too long, or has other characters than letters, digits, `_`, `-` and `.`.
    """
    if not _NAME.fullmatch(name):
        raise BadName(
            f"{name[:80]!r} cannot be used as a {what}.",
            why="A name has 1 to 128 letters, digits, '_', '-' or '.', and starts with a letter or digit.",
            fix="Choose such a name, e.g. 'flights-2013'.",
        )
    return name


def make_ref(kind: str, name: str, version: str | int | None = None) -> Ref:
    """The ref of a thing.

    Example:
        >>> make_ref("model", "flights", 3)
        'model/flights@3'
    """
    return Ref(f"{kind}/{name}" if version is None else f"{kind}/{name}@{version}")


def split_ref(ref: str) -> tuple[str, str, str | None]:
    """Kind, name and version (or None) of a ref.

    Raises:
        BadName: there is no `kind/` in front.
    Example:
        >>> split_ref("model/flights@3")
        ('model', 'flights', '3')
    """
    kind, slash, rest = ref.partition("/")
    if not slash or not kind or not rest:
        raise BadName(f"{ref!r} is no ref.", why="A ref reads kind/name@version.", fix="E.g. model/flights@3.")
    name, at, version = rest.rpartition("@")
    return (kind, name, version) if at else (kind, rest, None)
