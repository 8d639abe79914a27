"""Pins: files of the tree whose bytes stay where they are, at a URL, and must not have changed when they are read.

What the tree names is not the content but the pin: URL, size, and what tells one version from the next. It is kept as
a blob like any other, so branches, merges and pushes need know nothing of it.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from blake3 import blake3

from bucle.ground.core import Record, StoreSection, decode, encode
from bucle.ground.project import Project
from bucle.ground.store import Objects, atomically, open_objects, write_atomically
from bucle.line.files.content import unpacked
from bucle.line.files.errors import BadUrl, PinMoved
from bucle.line.files.tree import PIN, FileEntry, Tree

if TYPE_CHECKING:
    import httpx

__all__ = ["Pin", "fetched", "keep_pin", "known_pins", "look_at_url", "pin_of"]

_READ = 1 << 20
_TIMEOUT_S = 60.0


class Pin(Record, frozen=True):
    """A version of what a URL names.

    Attributes:
        url: `s3://bucket/key`, `http(s)://…` or `file:///path`.
        size_bytes: how long it is; -1 when the server does not say.
        version: its ETag, or when it was last changed.
    """

    url: str
    size_bytes: int
    version: str


def look_at_url(project: Project, url: str) -> Pin:
    """The version that a URL names now; its bytes are not read.

    Raises:
        BadUrl: it is of another kind, holds a password, names nothing, or its server tells no versions.
        BucketFailed: the bucket does not answer.
    """
    url = _checked(url)
    kind = urlsplit(url).scheme
    if kind == "file":
        return _of_file(url)
    if kind == "s3":
        objects, name = _object(project, url)
        try:
            size, version = objects.stat(name)
        except FileNotFoundError as error:
            raise _nothing(url, "the bucket has no such object") from error
        return Pin(url=url, size_bytes=size, version=version)
    import httpx  # noqa: PLC0415  half of a command's start, and few need it

    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_S) as answer:
            return _of_answer(url, answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _nothing(url, f"{type(error).__name__}: {error}") from error


def keep_pin(project: Project, pin: Pin) -> FileEntry:
    """The entry of a tree that stands for a pin."""
    return FileEntry(digest=project.blobs.put(encode(pin)), size_bytes=max(0, pin.size_bytes), mode=PIN)


def pin_of(project: Project, entry: FileEntry) -> Pin:
    """The pin an entry stands for. Raises BlobMissing, BlobCorrupt, CorruptRecord."""
    return decode(project.blobs.get(entry.digest), Pin, what="pin")


def known_pins(project: Project, tree: Mapping[str, FileEntry]) -> Tree:
    """A tree in which pins that were fetched before are the contents they stand for; the others stay pins."""
    return {path: _known(project, entry) if entry.mode == PIN else entry for path, entry in tree.items()}


def fetched(project: Project, tree: Mapping[str, FileEntry]) -> Tree:
    """A tree in which pins are the contents they stand for, fetched unless they are here, and compared.

    Raises:
        PinMoved: what the URL names has changed since, or is gone.
        BucketFailed, DiskFull: it could not be fetched or kept.
    Cost: one download of each pin that is not here.
    """
    return {path: _fetched(project, entry) if entry.mode == PIN else entry for path, entry in tree.items()}


def _known(project: Project, entry: FileEntry) -> FileEntry:
    try:
        digest = _note(project, entry).read_text()
    except FileNotFoundError:
        return entry
    return FileEntry(digest=digest, size_bytes=entry.size_bytes)


def _fetched(project: Project, entry: FileEntry) -> FileEntry:
    known, copies = _known(project, entry), unpacked(project)
    if known.mode != PIN and copies.has(known.digest):
        return known
    pin = pin_of(project, entry)
    whole, size = blake3(), 0
    partial = _note(project, entry).with_suffix(".fetched")
    with atomically(partial) as out:
        for data in _bytes(project, pin):
            whole.update(data)
            size += out.write(data)
        digest = whole.hexdigest()
        if pin.size_bytes not in (-1, size) or (known.mode != PIN and digest != known.digest):
            raise _moved(pin.url, "its bytes are not those it had")
    copies.adopt(partial)
    write_atomically(_note(project, entry), digest.encode())
    return FileEntry(digest=digest, size_bytes=size)


def _note(project: Project, entry: FileEntry) -> Path:
    return project.state / "files" / "pins" / entry.digest


def _bytes(project: Project, pin: Pin) -> Iterator[bytes | memoryview]:
    """What a pin stands for, of that version or not at all."""
    kind = urlsplit(pin.url).scheme
    if kind == "file":
        yield from _file_bytes(pin)
    elif kind == "s3":
        objects, name = _object(project, pin.url)
        try:
            yield from objects.stream(name, pin.version)
        except FileNotFoundError as error:
            raise _moved(pin.url, "it is gone") from error
        except FileExistsError as error:
            raise _moved(pin.url, "it has another ETag") from error
    else:
        import httpx  # noqa: PLC0415

        try:
            # As it lies there: what an encoding for the way would change is not what the length and the ETag tell of.
            plain = {"Accept-Encoding": "identity"}
            with httpx.stream("GET", pin.url, follow_redirects=True, timeout=_TIMEOUT_S, headers=plain) as answer:
                if _of_answer(pin.url, answer) != pin:
                    raise _moved(pin.url, "it has another ETag, date or size")
                yield from answer.iter_raw(_READ)
        except httpx.HTTPError as error:
            raise _nothing(pin.url, f"{type(error).__name__}: {error}") from error


def _file_bytes(pin: Pin) -> Iterator[bytes]:
    try:
        if _of_file(pin.url) == pin:
            with _path(pin.url).open("rb", buffering=0) as file:
                while data := file.read(_READ):
                    yield data
        if _of_file(pin.url) != pin:
            raise _moved(pin.url, "it was written to")
    except BadUrl as error:
        raise _moved(pin.url, "it is gone") from error


def _of_answer(url: str, answer: httpx.Response) -> Pin:
    if answer.status_code != 200:
        raise _nothing(url, f"its server answers {answer.status_code}")
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if not version:
        raise _nothing(url, "its server tells neither an ETag nor a date, so a change could not be seen")
    size = "" if answer.headers.get("Content-Encoding") else answer.headers.get("Content-Length", "")
    return Pin(url=url, size_bytes=int(size) if size.isdecimal() else -1, version=version)


def _of_file(url: str) -> Pin:
    try:
        status = _path(url).stat()
    except OSError as error:
        raise _nothing(url, str(error.strerror)) from error
    if not stat.S_ISREG(status.st_mode):
        raise _nothing(url, "it is no file")  # a device has no end
    return Pin(url=url, size_bytes=status.st_size, version=f"{status.st_mtime_ns:x}-{status.st_size:x}")


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _object(project: Project, url: str) -> tuple[Objects, str]:
    folder, _, name = url.rpartition("/")
    return open_objects(folder, project.config.section("store", StoreSection).s3), name


def _checked(url: str) -> str:
    if "://" not in url:
        return Path(url).expanduser().resolve().as_uri()
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _nothing(url, str(error)) from error
    is_whole = parts.scheme == "file" or (parts.netloc and posixpath.basename(parts.path))
    if parts.scheme not in ("s3", "http", "https", "file") or not is_whole:
        raise _nothing(url, "it is no address of an object: s3://bucket/key, https://…, file:///path")
    if "@" in parts.netloc:
        raise BadUrl(
            "The URL holds a name or password before an '@'.",
            why="It would be kept in the tree, for everybody to read.",
            fix="Name an address that needs none, or a bucket with its key in the environment.",
        )
    return url


def _nothing(url: str, what: str) -> BadUrl:
    return BadUrl(
        f"{url} cannot be read: {what}.",
        why="What is pinned is a version of something that is there.",
        fix="Check the address, and whether it can be reached from here.",
        at=url,
    )


def _moved(url: str, what: str) -> PinMoved:
    return PinMoved(
        f"{url} is not what it was when it was pinned: {what}.",
        why="What was read then cannot be had any more; another content would pass for it.",
        fix="Take the new version: bucle data import-url --update PATH; the old one can only come from a backup.",
        at=url,
    )
