"""Queue: what a run has to say to a server, on this machine's disk until the server has said it has it.

A folder a run: segments to which framed messages are only ever appended, the files it keeps, and how far delivery got.
Laws:

- What `append` has returned from survives kill -9 of everything; after `sync` also a power cut.
- A message cut short by a crash was never acknowledged and is not there.
- One process writes, holding the writer's lock; one delivers, holding the sender's. A lock goes with its process.
- Messages come out in the order they went in, each at least once; a message may be delivered again after a crash, which
  servers take as once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from bucle.line.client.errors import QueueDamaged, QueueFull
from bucle.line.client.message import End, File, Message, Start

__all__ = ["Place", "Queue", "Queued", "clear", "queue_root", "queues"]

SEGMENT = 1 << 26
"""Bytes after which a new segment begins; one that was delivered whole is removed."""

LARGEST = 1 << 30
"""Bytes of a message; more can only be damage."""

WRITER, SENDER, SERVER = "writer", "sender", "server"
"""The files that are locked, and the one that says whom the queue is for."""

DRAFTS, REFUSED, GONE = ".drafts", ".refused", ".gone"
"""Where a queue is made before it stands in its place, where one is kept that the server did not take all of, and where
one is taken apart."""

_FRAME = struct.Struct("<II")
_PLACE = struct.Struct("<QQ")
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


class Place(NamedTuple):
    """How far something got: segment, and bytes within it."""

    segment: int
    offset: int


class Queued(NamedTuple):
    """A message and the place behind it.

    Attributes:
        message: what was said.
        after: delivered up to here when it is delivered.
        size: bytes it takes.
    """

    message: Message
    after: Place
    size: int


class Queue:
    """The queue of one run.

    Args:
        folder: named by the run's id.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder.name
        self._lock: IO[bytes] | None = None
        self._segment = -1
        self._file: IO[bytes] | None = None
        self._size = 0

    @classmethod
    def begin(cls, root: Path, server: str, start: Start) -> Queue:
        """A new queue with its first message; the caller writes it and holds its lock until `close`.

        Raises:
            QueueFull: the disk is full.
        """
        # Made beside and moved: whoever sees it sees it locked, and with its first message.
        draft = cls(root / DRAFTS / start.run)
        try:
            (draft.folder / "files").mkdir(parents=True)
            (draft.folder / SENDER).touch()
            draft._lock = (draft.folder / WRITER).open("xb")
            fcntl.flock(draft._lock, fcntl.LOCK_EX)
            draft._open_segment(0)
            (draft.folder / SERVER).write_text(server)
            draft.append(start)
            draft.sync()
            draft.folder = draft.folder.rename(root / start.run)
        except OSError as error:
            raise _full(draft.folder, error) from error
        return draft

    def append(self, message: Message) -> None:
        """Add a message; it survives the death of this process from here on.

        Raises:
            QueueFull: the disk is full; the message is not there, and may be tried again.
        """
        content = _ENCODER.encode(message)
        if self._size >= SEGMENT:
            self._open_segment(self._segment + 1)
        assert self._file is not None
        frame = memoryview(_FRAME.pack(len(content), zlib.crc32(content)) + content)
        try:
            while frame:  # a disk that is nearly full takes a part first, and says so next time
                frame = frame[self._file.write(frame) :]
        except OSError as error:
            # A half-written message would hide what comes after it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._size)
            raise _full(self.folder, error) from error
        self._size += _FRAME.size + len(content)

    def put_file(self, path: str, content: bytes | Path) -> None:
        """Add a file: a copy of it stays until it is delivered.

        Raises:
            QueueFull: the disk is full.
        """
        name = f"{self._segment}-{self._size}"
        target = self.folder / "files" / name
        try:
            with target.open("wb") as file:
                if isinstance(content, Path):
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            target.unlink(missing_ok=True)
            raise _full(self.folder, error) from error
        self.append(File(path=path, content=name))

    def sync(self) -> None:
        """Wait until all that was added survives a power cut as well."""
        assert self._file is not None
        with contextlib.suppress(OSError):  # some file systems cannot; the process's death is survived all the same
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Give up writing; who delivers may take the run for ended."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether this process may deliver: false while another one does."""
        with _try_lock(self.folder / SENDER) as ours:
            yield ours

    @contextlib.contextmanager
    def abandoned(self) -> Iterator[bool]:
        """Whether nobody writes any more."""
        with _try_lock(self.folder / WRITER) as ours:
            yield ours

    def undelivered(self) -> Iterator[Queued]:
        """Every whole message that was not delivered yet, oldest first; it ends at what is there now.

        Raises:
            QueueDamaged: a message before the last is no message.
        """
        yield from self.after(self.delivered())

    def after(self, place: Place) -> Iterator[Queued]:
        """Every whole message behind a place; as `undelivered`."""
        segment, offset = place
        while True:
            path = self.folder / f"{segment:08d}"
            if not path.exists():
                return
            has_next = (self.folder / f"{segment + 1:08d}").exists()
            with path.open("rb") as file:
                file.seek(offset)
                yield from _messages(file, segment, is_last=not has_next)
            if not has_next:
                return
            segment, offset = segment + 1, 0

    def delivered(self) -> Place:
        """How far delivery got."""
        with contextlib.suppress(FileNotFoundError, struct.error):
            return Place(*_PLACE.unpack((self.folder / "delivered").read_bytes()))
        return Place(0, 0)

    def acknowledge(self, place: Place) -> None:
        """Note that all before a place has arrived; files and segments no longer needed are removed."""
        before = self.delivered()
        draft = self.folder / "delivered.new"
        draft.write_bytes(_PLACE.pack(*place))
        draft.replace(self.folder / "delivered")
        for segment in range(before.segment, place.segment):
            (self.folder / f"{segment:08d}").unlink(missing_ok=True)

    def file(self, message: File) -> Path:
        """The bytes of a file that waits."""
        return self.folder / "files" / message.content

    def set_aside(self, message: Message, reason: str) -> None:
        """Keep a message the server will never take, with the reason, so that nothing is lost."""
        with (self.folder / "refused").open("ab") as file:
            told = {"reason": reason, "message": msgspec.to_builtins(message)}
            file.write(msgspec.json.encode(told) + b"\n")

    @property
    def server(self) -> str:
        """The address of the server it is for."""
        return (self.folder / SERVER).read_text()

    def last_sign(self) -> datetime:
        """When something was added last."""
        return datetime.fromtimestamp(self._last_segment().stat().st_mtime, UTC)

    def has_end(self) -> bool:
        """Whether the run was ended, delivered or not."""
        last = self._last_segment()
        return any(isinstance(one.message, End) for one in self.after(Place(int(last.name), 0)))

    def refused(self) -> list[str]:
        """Why the server would not take what was set aside."""
        path = self.folder / "refused"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [str(msgspec.json.decode(line)["reason"]) for line in lines]

    def remove(self) -> None:
        """Forget the run: it has arrived. What the server refused is kept beside the queues."""
        if (self.folder / "refused").exists():
            kept = self.folder.parent / REFUSED
            kept.mkdir(exist_ok=True)
            self.folder.rename(kept / self.run)
            return
        # Moved away first: half of a queue must not be taken for one.
        gone = self.folder.parent / GONE
        with contextlib.suppress(OSError):  # it stays then, with nothing to deliver, and the next sync removes it
            gone.mkdir(exist_ok=True)
            self.folder = self.folder.rename(gone / self.run)
            shutil.rmtree(self.folder)

    def _last_segment(self) -> Path:
        return max(self.folder.glob("0*"))

    def _open_segment(self, number: int) -> None:
        try:
            opened = (self.folder / f"{number:08d}").open("ab", buffering=0)
        except OSError as error:
            raise _full(self.folder, error) from error
        if self._file is not None:
            self.sync()
            self._file.close()
        self._segment, self._file, self._size = number, opened, 0


def queue_root() -> Path:
    """Where queues of this user stand: `BUCLE_QUEUE`, or `bucle/queue` in the folder for state."""
    given = os.environ.get("BUCLE_QUEUE", "")
    state = os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state"
    return Path(given) if given else Path(state) / "bucle" / "queue"


def clear(root: Path) -> None:
    """Take the rest of queues away whose process died while it removed them."""
    for folder in (root / GONE).glob("*"):
        shutil.rmtree(folder, ignore_errors=True)


def queues(root: Path) -> list[Queue]:
    """Every queue that holds something, oldest first."""
    return [Queue(folder) for folder in sorted((path.parent for path in root.glob(f"*/{WRITER}")), key=_age)]


def _age(folder: Path) -> tuple[float, str]:
    try:
        return folder.stat().st_mtime, folder.name
    except FileNotFoundError:  # delivered and removed by another process just now
        return 0.0, folder.name


def _messages(file: IO[bytes], segment: int, *, is_last: bool) -> Iterator[Queued]:
    while True:
        head = file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return
        size, checksum = _FRAME.unpack(head)
        content = file.read(size) if size <= LARGEST else b""
        if len(content) < size or zlib.crc32(content) != checksum:
            if is_last:
                return  # cut short by a crash, or being written
            raise QueueDamaged(
                f"{file.name} is damaged before byte {file.tell()}.",
                why="What comes after it cannot be read; what came before is delivered.",
                fix=f"Restore it from a backup, or give it up: rm -r {Path(file.name).parent}",
                at=file.name,
            )
        yield Queued(_DECODER.decode(content), Place(segment, file.tell()), _FRAME.size + size)


@contextlib.contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    try:
        file = path.open("rb")
    except FileNotFoundError:  # removed by who delivered the last of it
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _full(folder: Path, error: OSError) -> QueueFull:
    return QueueFull(
        f"The queue {folder} cannot be written: {error.strerror or error}.",
        why="What is logged waits there until the server has it.",
        fix="Make room on that disk, or name another place in BUCLE_QUEUE.",
        at=str(folder),
    )
