"""Names: what a model, a tag and an alias may be called, and how a model is called on the ledger."""

from __future__ import annotations

import re

from bucle.ground.core import make_ref, split_ref
from bucle.line.registry.errors import BadModelName, BadText, ReservedAlias

__all__ = ["LATEST", "LONGEST_NAME", "check_alias", "check_model_name", "check_text", "model_of", "model_ref"]

LATEST = "latest"
"""Reads as the version with the greatest number; no alias can be called so."""

LONGEST_NAME = 256
LONGEST_ALIAS = 255

_ALIAS = re.compile(r"[\w\-.]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_model_name(name: str) -> str:
    """The name itself when a model can bear it: 1 to 256 characters without `/`, `:` and control characters.

    Raises:
        BadModelName: it cannot.
    Source: MLflow's rule for registered models, which forbids `/`, `:` and names that are no plain file name.
    """
    if not name.strip() or len(name) > LONGEST_NAME or set("/:") & set(name) or _CONTROL.search(name):
        raise _bad_name(name)
    if name in (".", "..") or not _is_unicode(name):
        raise _bad_name(name)
    return name


def check_alias(alias: str) -> str:
    """The alias itself when it cannot be mistaken for a version.

    Raises:
        ReservedAlias: it reads as a number, as `v7`, as `latest`, or has other characters than letters, digits, `_-.`.
    """
    number = alias[1:] if alias[:1] in ("v", "V") else alias
    if number.isdecimal() or alias.lower() == LATEST:
        raise ReservedAlias(
            f"{alias!r} cannot be an alias.",
            why="It reads as a version.",
            fix="Choose a word, e.g. champion.",
            at=alias,
        )
    if not _ALIAS.fullmatch(alias) or len(alias) > LONGEST_ALIAS:
        raise ReservedAlias(
            f"{alias[:80]!r} cannot be an alias.",
            why=f"An alias has 1 to {LONGEST_ALIAS} letters, digits, '_', '-' or '.'.",
            fix="Choose a word, e.g. champion.",
            at=alias[:80],
        )
    return alias


def check_text(text: str, what: str, longest: int) -> str:
    """The text itself when it is short enough and both databases can keep it.

    Raises:
        BadText: it is too long, or holds a NUL or half a surrogate pair.
    """
    if len(text) > longest:
        raise BadText(
            f"The {what} has {len(text)} characters.",
            why=f"At most {longest} are kept.",
            fix="Log it as an artifact and name it here.",
            at=what,
        )
    if "\x00" in text or not _is_unicode(text):
        raise BadText(
            f"The {what} holds a character no database keeps.",
            why="NUL and halves of surrogate pairs are no text.",
            fix="Take them out.",
            at=what,
        )
    return text


def model_ref(name: str, version: int | None = None) -> str:
    """What a model or a version is called on the ledger; `@`, `*` and `%` in a name are written `%40`, `%2A`, `%25`.

    Example:
        >>> model_ref("flights", 3), model_ref("a@b")
        ('model/flights@3', 'model/a%40b')
    """
    return make_ref("model", name.replace("%", "%25").replace("@", "%40").replace("*", "%2A"), version)


def model_of(ref: str) -> tuple[str, int | None]:
    """The model and the version, or None, that a ref names.

    Raises:
        BadName: it is no ref.
    Example:
        >>> model_of("model/a%40b@3")
        ('a@b', 3)
    """
    _, name, version = split_ref(ref)
    return name.replace("%2A", "*").replace("%40", "@").replace("%25", "%"), int(version) if version else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad_name(name: str) -> BadModelName:
    return BadModelName(
        f"{name[:80]!r} cannot be the name of a model.",
        why=f"A name has 1 to {LONGEST_NAME} characters, none of them '/', ':' or a control character.",
        fix="Choose such a name, e.g. 'flights-2013'.",
        at=name[:80],
    )
