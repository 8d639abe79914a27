"""Objects: read, put, copied and removed."""

from __future__ import annotations

import itertools
import mimetypes
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

import msgspec

from bucle.doors.protocols.s3.errors import S3Error, as_s3, invalid, no_such_key, not_implemented
from bucle.doors.protocols.s3.wire import Answer, Call, document, etag_of, http_time, iso_time, target_of
from bucle.doors.protocols.s3.xml import parse, text_of
from bucle.ground.core import BucleError, make_ref
from bucle.ground.governance import check
from bucle.ground.project import Project
from bucle.line import data, files

__all__ = ["TOLD", "Pieces", "commit", "copy", "delete", "delete_many", "get", "put", "source_of", "told_of"]

TOLD = ("content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires")
"""Headers of an object that are kept and told again."""

_META = "x-amz-meta-"
_MOST_TOLD = 8 << 10
_UNKNOWN = "binary/octet-stream"
_SHOWN = 1 << 20
"""An answer of so many bytes or fewer is made in one piece."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_MOST_DELETED = 1000


class _Found(msgspec.Struct, frozen=True):
    """An object.

    Attributes:
        path: in the tree.
        entry: with a content that is here.
        at: when it was last changed.
        told: what was said of it, by header.
    """

    path: str
    entry: files.FileEntry
    at: datetime
    told: Mapping[str, str]


def _find(project: Project, principal: str, key: str) -> _Found:
    """The object of a key, for who may read it.

    Raises:
        S3Error: there is none.
        NoSuchCommit, AmbiguousCommit, CommitExpired: its first part names nothing that can be read.
        Denied: the principal may not read it.
        PinMoved: its bytes lie elsewhere, and have changed there.
    """
    ref, _, path = key.partition("/")
    if not path or data.is_own(path):
        raise no_such_key(key)
    check(project, principal, "read", make_ref("file", path))
    commit, plain = data.resolve(project, ref), path.removesuffix("/")
    entry = files.entries_at(project, commit.files, [plain]).get(plain)
    if entry is None or (entry.mode == files.FOLDER) != path.endswith("/"):
        raise no_such_key(key)
    note = data.changed_at(project, commit, {plain: entry})[plain]
    if entry.mode == files.PIN:
        entry = files.fetched(project, {plain: entry})[plain]
    return _Found(path, entry, note.at, note.told)


def get(call: Call) -> Answer:
    """An object, or the part of it that is asked for."""
    found = _find(call.project, call.principal, call.key)
    headers = _headers(call, found)
    refused = _unmet(call.headers, found, "")
    if refused is not None:
        return Answer(refused, headers) if refused == 304 else _raise_unmet()
    begin, end = 0, found.entry.size_bytes
    asked = _range(call.headers, found)
    if asked is not None:
        begin, end = asked
        headers["content-range"] = f"bytes {begin}-{end - 1}/{found.entry.size_bytes}"
    status = 200 if asked is None else 206
    if call.method == "HEAD":
        return Answer(status, headers, length=end - begin)
    pieces = files.read_range(call.project, found.entry, begin, end) if end > begin else iter(())
    if end - begin <= _SHOWN:
        return Answer(status, headers, b"".join(pieces))
    return Answer(status, headers, _begun(pieces), end - begin)


def put(call: Call) -> Answer:
    """Keep an object; it is durable and visible when this answers."""
    if _is_branch(call):
        return Answer(200, {"etag": '""'})
    _, path = target_of(call)
    told = told_of(call.headers)
    with files.packs_of(call.project).held():
        if path.endswith("/"):
            if call.body.whole():
                raise invalid("A key that ends with a slash is a folder, and has no bytes.")
            entry = files.FileEntry(call.project.blobs.put(b""), 0, files.FOLDER)
        else:
            entry = _keep(call, path)
        commit(call, entry, told)
    return Answer(200, {"etag": etag_of(entry), **call.body.checksum})


def copy(call: Call) -> Answer:
    """Put an object that is there already somewhere else: no byte is copied, unless another key is to encrypt it."""
    _, path = target_of(call)
    source = source_of(call)
    if path.endswith("/") != (source.entry.mode == files.FOLDER):
        raise invalid("A key that ends with a slash is a folder, and only folders are copied there.")
    told = source.told
    if call.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE":
        told = told_of(call.headers)
    with files.packs_of(call.project).held():
        entry = _kept_at(call.project, source.entry, path)
        commit(call, entry, told)
    now = call.project.clock.now()
    return document("CopyObjectResult", [("LastModified", iso_time(now)), ("ETag", etag_of(entry))])


def source_of(call: Call) -> _Found:
    """The object that a copy is of.

    Raises:
        S3Error: none is named, or a condition of the copy is not met.
        BucleError: there is none, or the principal may not read it.
    """
    name, _, version = call.headers["x-amz-copy-source"].partition("?")
    bucket, _, key = unquote(name).lstrip("/").partition("/")
    if version not in ("", "versionId=null"):
        raise not_implemented("A version of an object")
    if bucket != call.project.name:
        raise S3Error(404, "NoSuchBucket", f"There is no bucket {bucket[:200]!r}.")
    found = _find(call.project, call.principal, key)
    if _unmet(call.headers, found, "x-amz-copy-source-") is not None:
        _raise_unmet()
    return found


def _kept_at(project: Project, entry: files.FileEntry, path: str) -> files.FileEntry:
    """A content as it is to be kept at another path: the same, unless it is to be encrypted there and is not, or so.

    The packs are held.
    """
    packs, cipher = files.packs_of(project), files.Seals(project).of(path.removesuffix("/"))
    files.is_kept(project, entry.digest)
    if packs.key_of(entry.digest) == (cipher.name if cipher else ""):
        if packs.has(entry.digest):
            packs.freshen(packs.needed_for(entry.digest))
        return entry
    with files.filling(packs) as filler:
        source = Pieces(files.read_range(project, entry, 0, entry.size_bytes))
        digest, size = filler.put_stream(source, cipher)
        filler.settle()
    return files.FileEntry(digest, size, entry.mode)


def delete(call: Call) -> Answer:
    """Remove an object; one that is not there counts as removed."""
    if _is_branch(call):
        return Answer(204)
    branch, path = target_of(call)
    _remove(call, branch, [path], f"delete {path}", call.headers.get("if-match", ""))
    return Answer(204)


def delete_many(call: Call) -> Answer:
    """Remove objects, those of a branch in one commit; say of each what became of it."""
    root = parse(call.body.whole(2 << 20))
    asked = [(text_of(one, "Key"), text_of(one, "ETag").strip()) for one in root.findall("Object")]
    keys = [key for key, _ in asked]
    if root.tag != "Delete" or not 1 <= len(keys) <= _MOST_DELETED:
        raise invalid(f"From 1 to {_MOST_DELETED} objects are removed at once.", "MalformedXML")
    told, failed = list[tuple[str, list[tuple[str, str]]]](), dict[str, S3Error]()
    # What is removed only as it is known is removed by itself, so that a refusal is of it alone.
    wanted = dict[tuple[str, str, str], dict[str, str]]()
    for key, tag in asked:
        try:
            branch, path = target_of(msgspec.structs.replace(call, key=key))
            wanted.setdefault((branch, tag, key if tag else ""), {})[key] = path
        except (BucleError, S3Error) as error:
            failed[key] = as_s3(error)
    for (branch, tag, _), paths in wanted.items():
        try:
            _remove(call, branch, list(paths.values()), f"delete {len(paths)} objects", tag)
        except (BucleError, S3Error) as error:
            failed |= dict.fromkeys(paths, as_s3(error))
    is_quiet = text_of(root, "Quiet").lower() == "true"
    for key in keys:
        if key in failed:
            problem = failed[key]
            told.append(("Error", [("Key", key), ("Code", problem.code), ("Message", problem.message)]))
        elif not is_quiet:
            told.append(("Deleted", [("Key", key)]))
    return document("DeleteResult", told)


def told_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What a client says of an object, to be told again. Raises S3Error: it is too much."""
    told = {name: value for name, value in headers.items() if name in TOLD or name.startswith(_META)}
    told["content-encoding"] = ", ".join(
        part for part in map(str.strip, told.get("content-encoding", "").split(",")) if part not in ("", "aws-chunked")
    )
    if sum(len(name) + len(value) for name, value in told.items()) > _MOST_TOLD:
        raise invalid("Your metadata headers exceed the maximum allowed metadata size.", "MetadataTooLarge")
    return {name: value for name, value in told.items() if value}


def _is_branch(call: Call) -> bool:
    """Whether a key is a branch's own, as some clients make folders above what they put: it is there, and stays."""
    name, slash, path = call.key.partition("/")
    return bool(slash) and not path and any(branch.name == name for branch in data.branches(call.project))


def _keep(call: Call, path: str) -> files.FileEntry:
    """Keep the body: a short one as a blob, unless it is encrypted; a long one in packs, as it comes."""
    project, cipher = call.project, files.Seals(call.project).of(path)
    if call.body.is_short and cipher is None:
        content = call.body.whole()
        return files.FileEntry(project.blobs.put(content), len(content))
    with files.filling(files.packs_of(project)) as filler:
        digest, size = filler.put_stream(call.body, cipher)
        filler.settle()
    return files.FileEntry(digest, size)


def commit(call: Call, entry: files.FileEntry, told: Mapping[str, str]) -> None:
    """Make a content that is kept the object of a call's key, if the call's conditions are met.

    Raises:
        S3Error: they are not.
        BucleError: the branch does not move.
    """
    branch, _, path = call.key.partition("/")
    plain = path.removesuffix("/")
    wants_none, wanted = call.headers.get("if-none-match", ""), call.headers.get("if-match", "")

    def check_present(present: Mapping[str, files.FileEntry | None]) -> None:
        there = present[plain]
        if (wants_none and there is not None and _is_listed(wants_none, there)) or (
            wanted and (there is None or not _is_listed(wanted, there))
        ):
            _raise_unmet()

    data.change_files(
        call.project,
        {plain: entry},
        branch=branch,
        message=f"put {path}",
        notes={plain: told},
        check=check_present if wants_none or wanted else None,
    )


def _remove(call: Call, branch: str, paths: list[str], message: str, wanted: str) -> None:
    """Remove what is there; a folder's key, with its slash, is another than a file's.

    Args:
        wanted: the entity tags it must have; '' for any.
    """
    commit, named = data.head_of(call.project, branch), set(paths)
    plain = {path.removesuffix("/") for path in paths}
    there = files.entries_at(call.project, commit.files if commit else "", plain)
    gone = [path for path, entry in there.items() if (f"{path}/" if entry.mode == files.FOLDER else path) in named]

    def check_present(present: Mapping[str, files.FileEntry | None]) -> None:
        if any(entry is None or not _is_listed(wanted, entry) for entry in present.values()):
            _raise_unmet()

    if gone:
        check = check_present if wanted else None
        data.change_files(call.project, dict.fromkeys(gone), branch=branch, message=message, check=check)
    elif wanted:
        _raise_unmet()


def _headers(call: Call, found: _Found) -> dict[str, str]:
    headers = {
        "etag": etag_of(found.entry),
        "last-modified": http_time(found.at),
        "accept-ranges": "bytes",
        "content-type": mimetypes.guess_type(found.path)[0] or _UNKNOWN,
        **found.told,
    }
    for name, value in call.query.items():
        if name.startswith("response-") and name.removeprefix("response-") in TOLD:
            if not value.isprintable() or not value.isascii():
                raise invalid(f"{name} cannot be sent as a header.")
            headers[name.removeprefix("response-")] = value
    return headers


def _unmet(headers: Mapping[str, str], found: _Found, prefix: str) -> int | None:
    """The status of a condition that is not met: 304 when it says that the client has it, 412 otherwise; or None."""
    match, none = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    at = found.at.replace(microsecond=0)
    if match is not None and not _is_listed(match, found.entry):
        return 412
    before = _instant(headers.get(f"{prefix}if-unmodified-since"))
    if match is None and before is not None and at > before:
        return 412
    if none is not None:
        return 304 if _is_listed(none, found.entry) else None
    since = _instant(headers.get(f"{prefix}if-modified-since"))
    return 304 if since is not None and at <= since else None


def _is_listed(tags: str, entry: files.FileEntry) -> bool:
    wanted = etag_of(entry).strip('"')
    return any(tag.strip().removeprefix("W/").strip('"') in ("*", wanted) for tag in tags.split(","))


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _range(headers: Mapping[str, str], found: _Found) -> tuple[int, int] | None:
    """The first byte that is asked for and the one behind the last; None when all are."""
    asked = _RANGE.fullmatch(headers.get("range", "").strip())
    size = found.entry.size_bytes
    if asked is None or not (asked[1] or asked[2]) or ("if-range" in headers and not _is_same(headers, found)):
        return None
    begin, end = int(asked[1] or 0), min(size, int(asked[2]) + 1 if asked[2] else size)
    if not asked[1]:
        begin, end = max(0, size - int(asked[2])), size
    if asked[1] and asked[2] and int(asked[2]) < begin:
        return None
    if begin >= end:
        raise S3Error(416, "InvalidRange", f"The requested range is not satisfiable: the object has {size} bytes.")
    return begin, end


def _is_same(headers: Mapping[str, str], found: _Found) -> bool:
    return headers["if-range"].strip() in (etag_of(found.entry), http_time(found.at))


def _raise_unmet() -> Answer:
    raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


def _begun(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The same pieces, of which the first was read: what is lost is told before the answer begins."""
    return itertools.chain([next(pieces)], pieces)


class Pieces:
    """Pieces of a content, read as a file is.

    Args:
        pieces: one after another.
    """

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._rest: bytes | memoryview = b""

    def readinto(self, view: memoryview) -> int:
        """Fill a buffer; 0 at the end."""
        while not self._rest:
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return 0
        count = min(len(self._rest), len(view))
        view[:count] = self._rest[:count]
        self._rest = memoryview(self._rest)[count:]
        return count
