"""What keys and values may be: limits every client of MLflow knows, and what a database can hold at all."""

from __future__ import annotations

from collections.abc import Mapping

from bucle.line.tracking.errors import BadText

__all__ = [
    "LONGEST_KEY",
    "LONGEST_PARAM",
    "LONGEST_TAG",
    "check_key",
    "check_text",
    "check_texts",
]

LONGEST_KEY = 250
"""Characters of the key of a metric, a parameter or a tag."""

LONGEST_PARAM = 6000
"""Characters of a parameter's value."""

LONGEST_TAG = 8000
"""Characters of a tag's value."""


def check_key(key: str) -> str:
    """The key itself when it can be one.

    Raises:
        BadText: it is empty, longer than 250 characters, or no text a database can hold.
    """
    if not key:
        raise BadText("A key is empty.", why="Nobody could ask for it.", fix="Give it a name.", at="key")
    return check_text(key, "key", LONGEST_KEY)


def check_text(text: str, what: str, longest: int) -> str:
    """The text itself when it can be kept.

    Raises:
        BadText: it is too long, or holds NUL or half a surrogate pair.
    """
    if len(text) > longest:
        raise BadText(
            f"The {what} {text[:40]!r}… has {len(text)} characters.",
            why=f"A {what} has {longest} at most.",
            fix="Shorten it, or log it as an artifact.",
            at=text[:LONGEST_KEY],
        )
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise BadText(
            f"The {what} {text[:40]!r} holds a character no database keeps.",
            why="NUL and halves of surrogate pairs are no text.",
            fix="Take them out.",
            at=text[:LONGEST_KEY],
        )
    return text


def check_texts(texts: Mapping[str, str], what: str, longest: int) -> Mapping[str, str]:
    """Keys with their values, when all can be kept.

    Raises:
        BadText: one cannot; the error's `at` is its key.
    """
    for key, value in texts.items():
        check_key(key)
        try:
            check_text(value, what, longest)
        except BadText as error:
            error.at = key
            raise
    return texts


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
