"""The wire: a call comes in, an answer goes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import msgspec

from bucle.doors.protocols.s3.body import Body
from bucle.doors.protocols.s3.errors import S3Error, denied, invalid
from bucle.doors.protocols.s3.xml import element
from bucle.ground.core import make_ref
from bucle.ground.governance import check
from bucle.ground.project import Project
from bucle.line import data, files

__all__ = ["Answer", "Call", "document", "etag_of", "http_time", "iso_time", "target_of"]

_LONGEST_KEY = 1024


class Call(msgspec.Struct):
    """One request.

    Attributes:
        project: in which the client's principal acts.
        method: `GET`, `PUT`, …
        bucket: '' when none is named.
        key: of an object, '' when none is named.
        query: each name with its first value.
        headers: names in lower case.
        principal: whose request it is.
        body: what comes with it.
    """

    project: Project
    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    principal: str
    body: Body


class Answer(msgspec.Struct):
    """One response.

    Attributes:
        status: of HTTP.
        headers: but for the length.
        body: bytes, or pieces of them.
        length: of the body; needed of pieces, and of what is not sent because only the head was asked for.
    """

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes | Iterator[bytes | memoryview] = b""
    length: int | None = None


def document(name: str, content: Iterable[tuple[str, Any]], **headers: str) -> Answer:
    """An answer in XML."""
    return Answer(200, {"content-type": "application/xml", **headers}, element(name, content))


def target_of(call: Call) -> tuple[str, str]:
    """The branch and the path of an object that is to be written, by who may.

    Raises:
        S3Error: the key is none, or what it names is no branch.
        BadPath: the path cannot stand in a tree.
        Denied: the principal may not write there.
    """
    if len(call.key.encode()) > _LONGEST_KEY:
        raise invalid(f"A key has {_LONGEST_KEY} bytes at most.", "KeyTooLongError")
    if any(ord(one) < 32 or ord(one) == 127 for one in call.key):
        raise invalid("A key has no control characters.")
    ref, slash, path = call.key.partition("/")
    if not slash or not path:
        raise invalid("A key is a branch, a slash and a path, as main/images/1.png.")
    plain = path.removesuffix("/")
    files.check_path(plain)
    if data.is_own(path):
        raise denied(f"{path.partition('/')[0]}/ is kept by Bucle itself, and not written through here.")
    for named in {plain, path}:  # a folder's key is the path, and what lies in it
        check(call.project, call.principal, "write", make_ref("file", named))
    _check_branch(call.project, ref)
    return ref, path


def etag_of(entry: files.FileEntry) -> str:
    """The entity tag of a content: its digest; the dash tells clients that it is no MD5."""
    return f'"{entry.digest}-1"'


def http_time(at: datetime) -> str:
    """An instant, as headers have it."""
    return format_datetime(at.replace(microsecond=0), usegmt=True)


def iso_time(at: datetime) -> str:
    """An instant, as documents have it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _check_branch(project: Project, ref: str) -> None:
    if any(branch.name == ref for branch in data.branches(project)):
        return
    try:
        data.resolve(project, ref)
    except (data.NoSuchCommit, data.AmbiguousCommit) as error:
        raise S3Error(404, "NoSuchBucket", str(error)) from error
    raise denied(f"{ref!r} is no branch: tags and commits are only read.")
