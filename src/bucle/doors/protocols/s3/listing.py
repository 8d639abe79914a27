"""Listing: the keys of a branch, a tag or a commit in order, page by page; and the branches and tags themselves.

Of a tree only the blobs with the keys of the page are read. Where a common prefix ends, the next path is looked up, so
a page of folders costs no more than one of files.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from bucle.doors.protocols.s3.errors import invalid
from bucle.doors.protocols.s3.wire import Answer, Call, document, etag_of, iso_time
from bucle.ground.core import make_ref
from bucle.ground.governance import grants, is_allowed
from bucle.line import data, files

__all__ = ["listing", "listing_v1"]

_MOST = 1000
_END = "\U0010ffff"


class _Item(NamedTuple):
    """A key: of an object, or of what is only a common prefix."""

    key: str
    commit: data.Commit | None = None
    entry: files.FileEntry | None = None

    @property
    def path(self) -> str:
        """In the tree, as the tree has it."""
        return self.key.partition("/")[2].removesuffix("/")


class _Page(NamedTuple):
    """What one answer lists, and the key from which the next one goes on; '' at the end."""

    objects: list[_Item]
    prefixes: list[str]
    next: str


def listing(call: Call) -> Answer:
    """ListObjectsV2."""
    token, after = call.query.get("continuation-token", ""), call.query.get("start-after", "")
    page = _page(call, _key_of(token) if token else f"{after}\0" if after else "")
    told: list[tuple[str, Any]] = [
        ("KeyCount", len(page.objects) + len(page.prefixes)),
        ("ContinuationToken", token or None),
        ("NextContinuationToken", _token_of(page.next) if page.next else None),
        ("StartAfter", _shown(call, after) if after else None),
    ]
    return _answer(call, page, told, owner=call.query.get("fetch-owner") == "true")


def listing_v1(call: Call) -> Answer:
    """ListObjects."""
    marker, delimiter = call.query.get("marker", ""), call.query.get("delimiter", "")
    start = f"{marker}\0" if marker else ""
    if delimiter and marker.endswith(delimiter):
        start = _behind(marker)
    page = _page(call, start)
    last = max([item.key for item in page.objects[-1:]] + page.prefixes[-1:], default="")
    told: list[tuple[str, Any]] = [
        ("Marker", _shown(call, marker)),
        ("NextMarker", _shown(call, last) if page.next else None),
    ]
    return _answer(call, page, told, owner=True)


def _page(call: Call, start: str) -> _Page:
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    most = _most(call)
    objects, prefixes = list[_Item](), list[str]()
    keys = _keys(call, prefix, delimiter, start)
    while (item := next(keys, None)) is not None:
        if len(objects) + len(prefixes) >= most:
            return _Page(objects, prefixes, item.key if most else "")
        end = item.key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0 and item.entry is not None:
            objects.append(item)
        else:
            common = item.key[: end + len(delimiter)]
            prefixes.append(common)
            keys = _keys(call, prefix, delimiter, _behind(common))
    return _Page(objects, prefixes, "")


def _keys(call: Call, prefix: str, delimiter: str, start: str) -> Iterator[_Item]:
    """The keys that begin with a prefix, from one on."""
    start = max(start, prefix)
    name, slash, below = prefix.partition("/")
    if slash:
        try:
            commit = data.resolve(call.project, name)
        except (data.NoSuchCommit, data.AmbiguousCommit, data.CommitExpired):
            return
        yield from _of_commit(call, commit, f"{name}/", below, start)
        return
    for ref in sorted(f"{name}/" for name in _refs(call)):
        if not ref.startswith(prefix) or ref + _END < start:
            continue
        if delimiter == "/":
            if ref >= start:
                yield _Item(ref)
        else:
            yield from _of_commit(call, data.resolve(call.project, ref[:-1]), ref, "", start)


def _refs(call: Call) -> Iterator[str]:
    yield from (branch.name for branch in data.branches(call.project) if branch.head)
    yield from (tag.name for tag in data.tags(call.project))


def _of_commit(call: Call, commit: data.Commit, ref: str, below: str, start: str) -> Iterator[_Item]:
    """The keys of a commit, from one on. A folder's key ends with a slash, so it comes behind its path's place."""
    since = start[len(ref) :] if start.startswith(ref) else "" if start < ref else _END
    since, may_read = max(since, below), _reader(call)
    folders = {key: entry for key, entry in _folders_before(call, commit, since) if key.startswith(below)}
    late = sorted(filter(may_read, folders))
    for path, entry in files.walk(call.project, commit.files, since):
        if not path.startswith(below):
            break
        while late and late[0] < path:
            key = heapq.heappop(late)
            yield _Item(ref + key, commit, folders[key])
        if not may_read(path):
            continue
        if entry.mode == files.FOLDER:
            folders[f"{path}/"] = entry
            heapq.heappush(late, f"{path}/")
        else:
            yield _Item(ref + path, commit, entry)
    for key in sorted(late):
        yield _Item(ref + key, commit, folders[key])


def _reader(call: Call) -> Callable[[str], bool]:
    """Whether a path may be shown to who asks."""
    known = [one for one in grants(call.project) if one.principal in (call.principal, "*")]
    return lambda path: (
        not data.is_own(path) and (not known or is_allowed(known, call.principal, "read", make_ref("file", path)))
    )


def _folders_before(call: Call, commit: data.Commit, since: str) -> Iterator[tuple[str, files.FileEntry]]:
    """The folders whose paths come before a key, and whose own keys do not."""
    paths = [since[:place] for place, one in enumerate(since) if place and one <= "/"]
    for path, entry in files.entries_at(call.project, commit.files, paths).items():
        if entry.mode == files.FOLDER and f"{path}/" >= since:
            yield f"{path}/", entry


def _answer(call: Call, page: _Page, told: list[tuple[str, Any]], *, owner: bool) -> Answer:
    notes = _notes(call, page.objects)
    who = [("ID", call.principal), ("DisplayName", call.principal)] if owner else None
    content: list[tuple[str, Any]] = [
        ("Name", call.bucket),
        ("Prefix", _shown(call, call.query.get("prefix", ""))),
        ("Delimiter", _shown(call, call.query["delimiter"]) if call.query.get("delimiter") else None),
        ("MaxKeys", _most(call)),
        ("EncodingType", "url" if _is_escaped(call) else None),
        *told,
        ("IsTruncated", bool(page.next)),
    ]
    for item, at in zip(page.objects, notes, strict=True):
        assert item.entry is not None
        one = [("Key", _shown(call, item.key)), ("LastModified", at), ("ETag", etag_of(item.entry))]
        content.append(
            ("Contents", [*one, ("Size", item.entry.size_bytes), ("StorageClass", "STANDARD"), ("Owner", who)])
        )
    content += [("CommonPrefixes", [("Prefix", _shown(call, prefix))]) for prefix in page.prefixes]
    return document("ListBucketResult", content)


def _notes(call: Call, objects: list[_Item]) -> list[str]:
    """When each was last changed."""
    told = dict[str, str]()
    for commit in {item.commit.id: item.commit for item in objects if item.commit is not None}.values():
        entries = {
            item.path: item.entry
            for item in objects
            if item.entry is not None and item.commit is not None and item.commit.id == commit.id
        }
        notes = data.changed_at(call.project, commit, entries)
        told |= {f"{commit.id} {path}": iso_time(note.at) for path, note in notes.items()}
    return [told[f"{item.commit.id} {item.path}"] for item in objects if item.commit is not None]


def _behind(common: str) -> str:
    """What comes behind everything that begins so."""
    kept = common.rstrip(_END)
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else _END * 2


def _most(call: Call) -> int:
    given = call.query.get("max-keys", str(_MOST))
    if not (given.isdecimal() and given.isascii() and len(given) < 10):
        raise invalid("max-keys must be an integer from 0 on.")
    return min(_MOST, int(given))


def _is_escaped(call: Call) -> bool:
    given = call.query.get("encoding-type", "")
    if given not in ("", "url"):
        raise invalid("The only encoding type is url.")
    return given == "url"


def _shown(call: Call, text: str) -> str:
    return quote(text, safe="/") if _is_escaped(call) else text


def _token_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode()


def _key_of(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid("The continuation token provided is incorrect.") from error
