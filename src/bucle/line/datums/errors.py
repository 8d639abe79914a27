"""What can go wrong with datums."""

from __future__ import annotations

from bucle.ground.core import NotFound, UserError

__all__ = ["BadDatums", "DatumClash", "NoDatum", "NoSuchDatums"]


class BadDatums(UserError):
    """`[datums.NAME]` in bucle.toml cannot be carried out: a pattern, a step, or where the outputs go."""

    code = "BU2001"


class NoSuchDatums(NotFound):
    """There is no `[datums.NAME]` in bucle.toml."""

    code = "BU2002"


class DatumClash(UserError):
    """Two datums gave an output of one path, or one gave a path that cannot stand in the tree."""

    code = "BU2003"


class NoDatum(NotFound):
    """A file was not made of a datum."""

    code = "BU2004"
