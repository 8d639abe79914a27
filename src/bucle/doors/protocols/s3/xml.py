"""XML, written and read as S3's clients do: a few plain elements, no attribute, no document type."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from bucle.doors.protocols.s3.errors import S3Error, invalid

__all__ = ["element", "parse", "text_of"]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_LONGEST = 2 << 20
_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML can say; who has such keys asks for `encoding-type=url`."""


def element(name: str, content: Iterable[tuple[str, Any]], *, namespace: bool = True) -> bytes:
    """A document.

    Args:
        name: of its root.
        content: names with a text, or with what stands in them; what is None is left out.
        namespace: whether it is of S3's namespace; errors are not.
    """
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<', name]
    parts.append(f' xmlns="{NAMESPACE}">' if namespace else ">")
    _write(parts, content)
    parts.append(f"</{name}>")
    return "".join(parts).encode("utf-8", "replace")


def parse(data: bytes) -> ElementTree.Element:
    """The root of a document whose names bear no namespace any more.

    Raises:
        S3Error: it is no XML, or has a document type: entities in it could grow without end.
    """
    try:
        text = data.decode("utf-8")  # in any other encoding a document type would not be seen
        if len(data) > _LONGEST or "<!" in text:
            raise _malformed()
        root = ElementTree.fromstring(text)  # noqa: S314  without a document type there are no entities
    except (ElementTree.ParseError, ValueError) as error:
        raise _malformed() from error
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    return root


def text_of(parent: ElementTree.Element, name: str) -> str:
    """The text of an element in another; '' when there is none."""
    return (parent.findtext(name) or "").strip("\r\n")


def _write(parts: list[str], content: Iterable[tuple[str, Any]]) -> None:
    for name, value in content:
        if value is None:
            continue
        parts.append(f"<{name}>")
        if isinstance(value, list):
            _write(parts, value)
        elif isinstance(value, bool):
            parts.append("true" if value else "false")
        else:
            parts.append(escape(_NO_TEXT.sub("\ufffd", str(value))))
        parts.append(f"</{name}>")


def _malformed() -> S3Error:
    return invalid("The XML you provided was not well-formed or did not validate.", "MalformedXML")
