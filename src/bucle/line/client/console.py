"""Console: what a process prints while a run goes on, kept in bounded size and handed on ever more rarely.

Two ways to listen. `python` hears what Python writes to `sys.stdout` and `sys.stderr`, loggers included, and changes
nothing else: colours, progress bars and what is printed in a crash reach the terminal as ever. `all` hears the file
descriptors, so also what C code and child processes print; both then go through a `tee` of their own, which survives
the death of this process, but they are no terminal any more.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

__all__ = ["Console", "Listening", "Transcript", "TranscriptFile", "listen"]

Listening = Literal["python", "all", "none"]
"""What is heard: what Python prints, all that is printed, or nothing."""

PART = 1 << 20
"""Bytes kept of the beginning, and as many of the end."""

MOST = 64 * PART
"""Bytes a transcript on disk may grow to."""

LONG_LINE = 1 << 13
"""Characters of an unfinished line from which on a progress bar's old states are dropped."""

GROWN, AGED = 1.25, 1.5
"""A transcript is handed on again when it has grown by this factor, or is older by this one: so all that is ever handed
on stays within a few times its size, however long the run."""

FIRST_S = 2.0
"""Seconds after which it is handed on first."""


class Transcript:
    """What was printed, held in memory; safe to use from several threads."""

    def __init__(self) -> None:
        # A signal's handler may print while its own thread is in here.
        self._lock = threading.RLock()
        self._begin = bytearray()
        self._end = deque[bytes]()
        self._end_size = 0
        self._line = ""
        self.size = 0

    def write(self, text: str) -> None:
        """Add what was printed; of a line written over again and again (`\\r`) the last state counts."""
        with self._lock:
            *lines, self._line = (self._line + text).split("\n")
            if lines:
                self._add("".join(f"{_last_state(line)}\n" for line in lines).encode(errors="replace"))
            if len(self._line) > LONG_LINE:
                self._line = self._line.rpartition("\r")[2][-PART:]

    def content(self) -> bytes:
        """The beginning and the end of it; what was left out between is told in a line."""
        with self._lock:
            line = _last_state(self._line).encode(errors="replace")
            return _joined(bytes(self._begin), b"".join(self._end) + line, self.size + len(line))

    def _add(self, content: bytes) -> None:
        self.size += len(content)
        room = PART - len(self._begin)
        self._begin += content[:room]
        if len(content) > room:
            self._end.append(content[room:])
            self._end_size += len(content) - room
        while self._end and self._end_size - len(self._end[0]) >= PART:
            self._end_size -= len(self._end.popleft())


class TranscriptFile:
    """What was printed, in a file that others write.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._path.stat().st_size

    def content(self) -> bytes:
        """The beginning and the end of it; what was left out between is told in a line."""
        with self._path.open("rb") as file:
            begin = file.read(PART)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - PART, len(begin)))
            text = _joined(begin, file.read(), size)
        lines = text.decode(errors="replace").split("\n")
        return "\n".join(_last_state(line) for line in lines).encode()


class _Printed(Protocol):
    @property
    def size(self) -> int: ...
    def content(self) -> bytes: ...


class Console:
    """What a process prints, and when to hand it on.

    Args:
        transcript: where it is gathered.
        now: a clock in seconds that never goes backwards.
    Attributes:
        last: all of it, once listening has ended.
    """

    def __init__(self, transcript: _Printed, now: Callable[[], float]) -> None:
        self._transcript = transcript
        self._now = now
        self._began = now()
        self._known = 0
        self._next = FIRST_S
        self.last = b""

    def fresh(self) -> bytes | None:
        """The transcript when it should be handed on now; None when there is nothing new or it is too early."""
        size, age = self._transcript.size, self._now() - self._began
        if size == self._known or (age < self._next and (self._known == 0 or size < GROWN * self._known + PART // 16)):
            return None
        self._known, self._next = size, max(age, FIRST_S) * AGED
        return self._transcript.content()

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """Keep in `last` what is there when the block ends."""
        try:
            yield
        finally:
            self.last = self._transcript.content()


@contextmanager
def listen(listening: Listening, now: Callable[[], float]) -> Iterator[Console | None]:
    """Gather what is printed until the block ends; None when nothing is to be heard.

    Args:
        listening: what to hear; `all` falls back to `python` where there is no `tee`.
        now: a clock in seconds that never goes backwards.
    """
    tee = shutil.which("tee")
    with ExitStack() as stack:
        if listening == "none":
            yield None
        elif listening == "all" and tee:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bucle-console-"))
            path = Path(folder) / "log"
            path.touch()
            console = Console(TranscriptFile(path), now)
            with console.until_end(), ExitStack() as descriptors:
                for number, stream in ((1, sys.stdout), (2, sys.stderr)):
                    descriptors.enter_context(_descriptor(number, stream, tee, path))
                yield console
        else:
            transcript = Transcript()
            console = Console(transcript, now)
            stack.enter_context(console.until_end())
            for stream in dict.fromkeys((sys.stdout, sys.stderr)):
                stack.enter_context(_stream(stream, transcript.write))
            yield console


@contextmanager
def _stream(stream: TextIO, hear: Callable[[str], None]) -> Iterator[None]:
    """Let `hear` know what is written to a stream; who holds the stream already, a logger, is heard as well."""
    process = os.getpid()
    plain, before, listening = stream.write, getattr(stream, "__dict__", {}).get("write"), True

    def write(text: str, /) -> int:
        count = plain(text)
        # A forked process has our lock as some thread may have held it.
        if listening and os.getpid() == process:
            hear(text)
        return count

    try:
        stream.write = write  # type: ignore[method-assign]
    except AttributeError:  # a stream that takes no attributes is left alone
        yield
        return
    try:
        yield
    finally:
        listening = False
        # Who took our place since then calls us; we only pass on.
        if stream.__dict__.get("write") is write:
            if before is None:
                del stream.write
            else:
                stream.write = before  # type: ignore[method-assign]


@contextmanager
def _descriptor(number: int, stream: Any, tee: str, path: Path) -> Iterator[None]:
    """Lead a file descriptor through a `tee` into a file."""
    with suppress(OSError, ValueError):
        stream.flush()
    plain = os.dup(number)
    # Of its own session: Ctrl-C reaches us, not it, so what we print then is still heard.
    program = subprocess.Popen(  # noqa: S603
        [tee, "-a", str(path)],
        stdin=subprocess.PIPE,
        stdout=plain,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        restore_signals=False,  # SIGXFSZ stays ignored: past its limit the file ends, the output goes on
    )
    assert program.stdin is not None
    resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (MOST, MOST))
    with program.stdin as pipe:
        os.dup2(pipe.fileno(), number)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            stream.flush()
        os.dup2(plain, number)
        os.close(plain)
        # A child process that lives on holds the pipe; its `tee` ends with it.
        with suppress(subprocess.TimeoutExpired):
            program.wait(1)


def _last_state(line: str) -> str:
    """What a terminal shows of a line that returned to its beginning."""
    return line.rstrip("\r").rpartition("\r")[2]


def _joined(begin: bytes, end: bytes, size: int) -> bytes:
    missing = size - len(begin) - len(end)
    return begin + (f"\n[… {missing} bytes left out …]\n".encode() if missing > 0 else b"") + end
