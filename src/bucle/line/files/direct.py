"""A new file written from front to back, past the system's page cache where that can be done.

Long files gain by it: the system need not copy their bytes, find memory for them, or keep what nobody reads soon. See
open(2), O_DIRECT: such writes begin and end at multiples of a block, and come from memory that does.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

__all__ = ["DirectFile"]

_BUFFER = 2 << 20
"""So much goes to the disk at once. What is shorter as a whole is written the usual way when the file ends."""

_BUFFERS = 4
_DIRECT = getattr(os, "O_DIRECT", 0)


class DirectFile:
    """A file being written; one thread at a time may use it.

    Bytes are gathered in aligned memory, and a second thread writes what is full while the next is being filled.

    Args:
        path: where nothing is yet.
    Raises:
        FileExistsError: something is there.
        OSError: there is no room, or the folder cannot be written to; `write` and `finish` may say so later too.
    Memory: 8 MB at most.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        self._file = os.open(path, flags, 0o666)
        self._direct = _turn(self._file, direct=True)
        self._writing = ThreadPoolExecutor(1)
        self._under_way = deque[Future[None]]()
        self._buffers = deque[memoryview]()
        self._filled = 0
        self._at = 0

    def write(self, content: bytes | memoryview) -> None:
        """Add bytes at the end."""
        rest = memoryview(content)
        while rest:
            buffer = self._buffer()
            taken = rest[: _BUFFER - self._filled]
            buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rest = rest[len(taken) :]
            if self._filled == _BUFFER:
                self._send(buffer)

    def finish(self) -> None:
        """Write what is left, force all to the disk and close the file."""
        while self._under_way:
            self._under_way.popleft().result()
        if self._filled:
            self._direct = self._direct and _turn(self._file, direct=False)
            self._put(self._buffer()[: self._filled], self._at)
        os.fsync(self._file)
        self.close()

    def close(self) -> None:
        """Close the file as it is; closing again does nothing."""
        if self._file >= 0:
            self._writing.shutdown(cancel_futures=True)
            os.close(self._file)
            self._file = -1

    def _buffer(self) -> memoryview:
        if not self._buffers:
            self._buffers.append(memoryview(mmap.mmap(-1, _BUFFER)))
        return self._buffers[0]

    def _send(self, buffer: memoryview) -> None:
        """Have the second thread write a full buffer; take up one that it is done with, or a new one."""
        self._under_way.append(self._writing.submit(self._put, buffer, self._at))
        self._at += len(buffer)
        self._filled = 0
        if len(self._buffers) < _BUFFERS:
            self._buffers.appendleft(memoryview(mmap.mmap(-1, _BUFFER)))
        else:
            self._buffers.rotate()
        if len(self._under_way) == _BUFFERS:
            self._under_way.popleft().result()

    def _put(self, content: memoryview, at: int) -> None:
        while content:
            try:
                written = os.pwrite(self._file, content, at)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._direct:
                    raise
                self._direct = not _turn(self._file, direct=False)  # a file system that says yes and means no
                continue
            at += written
            content = content[written:]


def _turn(file: int, *, direct: bool) -> bool:
    """Have a file written past the cache, or no longer; whether it was done."""
    if not _DIRECT:
        return False
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | _DIRECT if direct else flags & ~_DIRECT)
    except OSError:
        return False
    return True
