"""Inside: the program of a process that answers questions one after another, and may die of one.

What a question may take is held by the system as well: `RLIMIT_DATA` bounds how much memory the process can ask for,
whoever in it asks, DuckDB's aggregates too, which DuckDB's own limit does not count. Not `RLIMIT_AS`: it counts
addresses that are set aside and never used, of which allocators and thread pools take gigabytes.
Source: getrlimit(2); proc(5), `statm` and `oom_score_adj`.
"""

from __future__ import annotations

import io
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa

from bucle.ground.core import BucleError, encode
from bucle.ground.project import Project
from bucle.line.query.answer import Answer, Limits
from bucle.line.query.run import sql
from bucle.line.query.sandbox import too_large
from bucle.line.query.wire import Asked, Failed, Form, Ready, Setting, Told, receive, send

__all__ = ["ANSWER_BYTES", "ASKED_BYTES", "serve"]

ASKED_BYTES = 8 << 20
"""Of a question, at most."""

ANSWER_BYTES = 64 << 20
"""Of an answer's rows as they are written, at most: the server holds them until they are sent."""

SPARE = 2
"""The process may hold so many times a question's `memory_mb`: the engine's own and as much again, for what is read by
other ways than DuckDB's and for the answer."""

_HANGUP = getattr(select, "POLLRDHUP", select.POLLHUP)


def serve(handle: int) -> None:
    """Answer until the server is gone.

    Args:
        handle: the file descriptor of the socket to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _go_first()
    channel = socket.socket(fileno=handle)
    first = receive(channel, ASKED_BYTES)
    if first is None:
        return
    threading.Thread(target=_go_with, args=(channel.fileno(),), daemon=True).start()
    setting = msgspec.json.decode(first, type=Setting)
    project = Project.open(setting.root, database=setting.database, actor=setting.actor)
    # Thread pools start with their first use; their stacks are no question's.
    pl.DataFrame({"n": [1]}).lazy().filter(pl.col("n") > 0).collect()
    at_first = _held() or 0
    send(channel, msgspec.json.encode(Ready()))
    while (data := receive(channel, ASKED_BYTES)) is not None:
        send(channel, msgspec.json.encode(Ready()))
        for part in _answered(project, msgspec.json.decode(data, type=Asked), at_first):
            send(channel, part)
    project.close()


def _answered(project: Project, asked: Asked, at_first: int) -> tuple[bytes, ...]:
    try:
        with _bounded(asked.limits):
            found = sql(project, asked.text, at=asked.at, limits=asked.limits, principal=asked.principal)
            rows = _written(found, asked.form, asked.limits)
            told = Told(found.columns, found.commits, found.masked, found.is_cut)
            del found
    except BucleError as error:
        return (msgspec.json.encode(Failed(**error.as_dict())),)
    except (MemoryError, pa.ArrowMemoryError):
        return (msgspec.json.encode(Failed(**too_large(asked.limits).as_dict())),)
    except Exception:
        traceback.print_exc()  # to the server's own log
        fault = BucleError(
            "The query could not be answered.", why="Bucle itself is at fault; the server's log says more."
        )
        return (msgspec.json.encode(Failed(**fault.as_dict())),)
    is_spent = (_held() or 0) > at_first + (asked.limits.memory_mb << 20)
    return msgspec.json.encode(msgspec.structs.replace(told, is_spent=is_spent)), rows


def _written(found: Answer, form: Form, limits: Limits) -> bytes:
    rows = _arrow(found.table) if form == "arrow" else encode(found.rows())
    if len(rows) > ANSWER_BYTES:
        raise too_large(msgspec.structs.replace(limits, memory_mb=ANSWER_BYTES >> 20))
    return rows


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@contextmanager
def _bounded(limits: Limits) -> Iterator[None]:
    """The process may hold no more than it does now and `SPARE` times the question's memory."""
    held = _held()
    if held is None:
        yield
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + SPARE * (limits.memory_mb << 20), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _held() -> int | None:
    """Bytes of private writable memory, as `RLIMIT_DATA` counts them; None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (OSError, IndexError):
        return None


def _go_first() -> None:
    """Should the machine run out of memory all the same, the system ends this process and not the server."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _go_with(handle: int) -> None:
    """End when the server does, also in the midst of a question."""
    poll = select.poll()
    poll.register(handle, _HANGUP)
    poll.poll()
    sys.stderr.flush()
    os._exit(0)
