"""Contents on their way into packs: small files whole, large ones cut where their content says, each piece once."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol

from blake3 import blake3
from pyfastcdc import FastCDC

from bucle.ground.core import Digest, digest_of
from bucle.ground.keys import Cipher
from bucle.line.files.errors import BadFile
from bucle.line.files.pack import PackWriter
from bucle.line.files.packs import Packs, room_for

__all__ = ["LARGE_BYTES", "Filler", "Source", "filling"]

LARGE_BYTES = 1 << 20
"""A file this long or longer is cut into chunks."""

_CHUNK = 1 << 20
"""No chunk but a file's last is shorter, so what lies before need not be looked at; on average they have 1.5 MB."""

_LONGEST = 4 * _CHUNK
_BLOCK = 2 << 20
"""So much is read at once: what two threads work on has to stay in the processor's cache."""

_AHEAD = 3
"""Blocks that may be in work at once."""

_PACK = 128 << 20
"""A pack that has grown this long is finished, so that a sweep can give back room piece by piece."""


class Source(Protocol):
    """What a content is read from."""

    def readinto(self, view: memoryview, /) -> int | None:
        """Fill a buffer, or a part of it; 0 only at the end."""
        ...


class Filler:
    """Puts contents into new packs, those that no pack has yet.

    Args:
        packs: where they go.
    """

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        self._open: PackWriter | None = None
        self._new = set[str]()
        self._used = set[str]()
        self._ending = ThreadPoolExecutor(1)
        self._ended = list[Future[Digest]]()

    def put_path(self, path: str, size_bytes: int, cipher: Cipher | None = None) -> tuple[str, int]:
        """Keep a file's content.

        Args:
            path: the file.
            size_bytes: how long it is by its status; it may have grown since.
            cipher: what encrypts it.
        Returns:
            Its digest and how many bytes were read.
        Raises:
            BadFile: it was written to meanwhile.
        OSError: it cannot be read, or there is no room.
        """
        if size_bytes >= LARGE_BYTES:
            return self._put_large(path, cipher)
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  a Path a file would double the cost
            data = file.read()
        return self.put_bytes(data, cipher), len(data)

    def put_bytes(self, content: bytes, cipher: Cipher | None = None) -> str:
        """Keep a content, unless it is kept already; its digest, or what the cipher calls it."""
        if cipher is None:
            digest: str = digest_of(content)
            self.put(digest, content)
            return digest
        digest = cipher.hasher().update(content).hexdigest()
        if not self.knows(digest):
            sealed = cipher.seal_content(content)
            piece = digest_of(sealed)
            self.put(piece, sealed)
            self.put_file(digest, [piece], cipher.name)
        return digest

    def put(self, digest: str, content: bytes | memoryview) -> None:
        """Keep a content, unless it is kept already."""
        # A list from elsewhere may call it encrypted under a key nobody has: such a content is not kept.
        if not self.knows(digest) or (digest not in self._new and self._packs.key_of(digest)):
            self._new.add(digest)
            self._writer().put(digest, content)

    def move(self, digest: str, content: bytes | memoryview) -> None:
        """Keep a content although a pack has it: that pack is about to go."""
        if digest not in self._new:
            self._new.add(digest)
            self._writer().put(digest, content)

    def move_file(self, digest: str, chunks: list[str], key: str) -> None:
        """Note of which contents a file consists, although a pack says so that is about to go."""
        self._writer().put_file(digest, chunks, key)

    def put_file(self, digest: str, chunks: list[str], key: str = "") -> None:
        """Note of which contents, kept already, a file consists; one plain content is the file itself."""
        if (key or len(chunks) > 1) and not self.knows(digest):
            self._new.add(digest)
            self._writer().put_file(digest, chunks, key)

    def knows(self, digest: str) -> bool:
        """Whether the content is kept. The pack that has it is then needed, and young again."""
        if digest in self._new:
            return True
        if not self._packs.has(digest):
            return False
        self._used |= self._packs.needed_for(digest)
        return True

    def is_new(self, digest: str) -> bool:
        """Whether the content was kept here and now, and not before."""
        return digest in self._new

    def settle(self) -> None:
        """Force everything to the disk: from here on it survives a power cut."""
        self._finish()
        made = [ended.result() for ended in self._ended]
        if made:
            _sync_folder(self._packs.folder)
        self._packs.freshen(self._used)
        self._packs.renew(made)

    def close(self) -> None:
        """End the work; a pack that was not finished is removed."""
        self._ending.shutdown()
        if self._open is not None:
            self._open.discard()

    def put_stream(self, source: Source, cipher: Cipher | None = None) -> tuple[str, int]:
        """Keep what is read from a source until it ends, cut into chunks; it is never whole in memory.

        Read and cut here; hash the whole and write in a second thread, in few long calls that hold no lock. What is
        hashed is what is written, whatever happens to the source meanwhile.

        Args:
            source: gives the content.
            cipher: what encrypts it.
        Returns:
            Its digest and how many bytes were read.
        """
        whole, chunks, size = cipher.hasher() if cipher else blake3(), list[str](), 0
        with ThreadPoolExecutor(1) as hand:
            handed = deque[Future[None]]()
            for block, lengths in _cut(source):
                named = _named(_split(block, lengths), cipher)
                handed.append(hand.submit(self._put_block, whole, block, self._only_new(named)))
                if len(handed) == _AHEAD - 1:
                    handed.popleft().result()
                chunks += [digest for digest, _ in named]
                size += len(block)
            for one in handed:
                one.result()
        if not chunks:
            return self.put_bytes(b"", cipher), 0
        digest = whole.hexdigest()
        self.put_file(digest, chunks, cipher.name if cipher else "")
        return digest, size

    def put_joined(
        self, chunks: list[str], contents: Iterable[bytes | memoryview], cipher: Cipher | None = None
    ) -> tuple[str, int]:
        """Keep a file that consists of pieces which are kept already, one after another: only their list is written.

        Args:
            chunks: the digests of the pieces as they lie in packs.
            contents: their contents, to name the whole by.
            cipher: what the pieces were encrypted by.
        Returns:
            Its digest and how long it is.
        """
        whole, size = cipher.hasher() if cipher else blake3(), 0
        for content in contents:
            whole.update(content)
            size += len(content)
        if not chunks:
            return self.put_bytes(b"", cipher), 0
        digest = whole.hexdigest()
        for chunk in chunks:
            self.knows(chunk)
        self.put_file(digest, chunks, cipher.name if cipher else "")
        return digest, size

    def _put_large(self, path: str, cipher: Cipher | None) -> tuple[str, int]:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  as its error is told
            before = _version(file)
            told = self.put_stream(file, cipher)
            if _version(file) != before:
                raise _changed(path)
        return told

    def _put_block(self, whole: blake3, block: memoryview, new: dict[str, memoryview]) -> None:
        """Only the second thread has the writer in its hands, until the file has ended."""
        whole.update(block)
        for digest, piece in new.items():
            self._writer().put(digest, piece)

    def _only_new(self, named: Iterable[tuple[str, memoryview]]) -> dict[str, memoryview]:
        new = {digest: piece for digest, piece in named if not self.knows(digest)}
        self._new.update(new)
        return new

    def _writer(self) -> PackWriter:
        if self._open is not None and self._open.size_bytes >= _PACK:
            self._finish()
        if self._open is None:
            self._open = PackWriter(self._packs.folder)
        return self._open

    def _finish(self) -> None:
        if self._open is not None:
            self._ended.append(self._ending.submit(self._finished, self._open))
            self._open = None

    def _finished(self, pack: PackWriter) -> Digest:
        name = pack.finish()
        self._packs.keep_far(name)
        return name


@contextmanager
def filling(packs: Packs) -> Iterator[Filler]:
    """A filler whose unfinished pack is removed when the block fails.

    Raises:
        DiskFull: there is no room; nothing that was there is touched.
        BucketFailed: the packs' bucket cannot be reached.
    """
    packs.refresh()
    filler = Filler(packs)
    try:
        with room_for("the files' contents"):
            yield filler
    finally:
        with contextlib.suppress(OSError):
            filler.close()


def _cut(file: Source) -> Iterator[tuple[memoryview, list[int]]]:
    """Blocks of a file and the lengths of the chunks in each; a block is written over `_AHEAD` blocks later.

    The end of what was read is no cut: what follows the last cut is cut again together with what is read next.
    """
    buffers = deque(memoryview(bytearray(_LONGEST + _BLOCK)) for _ in range(_AHEAD))
    cutter, rest = FastCDC(_CHUNK, min_size=_CHUNK, max_size=_LONGEST), memoryview(b"")
    while True:
        view = buffers[0]
        buffers.rotate(-1)
        end = len(rest)
        view[:end] = rest
        filled = _fill(file, view[end : end + _BLOCK])
        end += filled
        lengths = [chunk.length for chunk in cutter.cut_buf(view[:end])]
        if filled < _BLOCK:
            yield view[:end], lengths
            return
        begin = end - lengths.pop()
        rest = view[begin:end]
        yield view[:begin], lengths


def _named(pieces: Iterable[memoryview], cipher: Cipher | None) -> list[tuple[str, memoryview]]:
    """The chunks as they are kept, under the digests of what is kept."""
    kept = pieces if cipher is None else (memoryview(cipher.seal_content(piece)) for piece in pieces)
    return [(digest_of(piece), piece) for piece in kept]


def _split(block: memoryview, lengths: list[int]) -> Iterator[memoryview]:
    begin = 0
    for length in lengths:
        yield block[begin : begin + length]
        begin += length


def _fill(file: Source, view: memoryview) -> int:
    filled = 0
    while filled < len(view):
        count = file.readinto(view[filled:])
        if not count:
            break
        filled += count
    return filled


def _version(file: FileIO) -> tuple[int, int]:
    """What differs after a file was written to."""
    got = os.fstat(file.fileno())
    return got.st_size, got.st_mtime_ns


def _changed(path: str) -> BadFile:
    return BadFile(
        f"{path!r} was written to while it was read.",
        why="What was read is half of the old content and half of the new.",
        fix="Add it again when nobody writes to it.",
        at=path,
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
