"""Remote: a Bucle server to log to, and the courier that brings it what waits in a queue.

The wire, under `/api/v1`: `POST /runs` with a `Start`, `POST /runs/ID/entries` with an `Entry`, `PUT
/runs/ID/artifacts/PATH` with a file's bytes, `POST /runs/ID/end` with an `End`; records as MessagePack. Each may be
sent again and counts once. The header `x-bucle-client` is wanted: no page of another site can make a browser send it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from bucle.ground.core import Record
from bucle.line.client.errors import NotDelivered, QueueDamaged, ServerRefused
from bucle.line.client.message import End, Entry, File, Message, Start, merged
from bucle.line.client.queue import Place, Queue, Queued, clear, queues
from bucle.version import __version__

if TYPE_CHECKING:
    import httpx

__all__ = ["CLIENT", "MESSAGES", "Courier", "Delivery", "Server", "deliver", "sync"]

CLIENT = "x-bucle-client"
"""The header every writing request bears."""

MESSAGES = "application/msgpack"
"""How records travel."""

PORTION = 1 << 22
"""Bytes of entries that travel as one."""

REFUSALS = frozenset({400, 404, 409, 413, 415, 422})
"""Answers that would be the same next time."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 15.0
"""How long to wait after a failure: a share of how long it has lasted, within these."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

UNREACHABLE_S = 3.0
"""A run that ends while its server does not answer waits so long for it."""

KILLED = "Its process ended without a word."

_chance = Random()  # noqa: S311
"""Our own: a training that seeds Python's must get the same numbers whatever the network does."""

_log = logging.getLogger("bucle.tracking")


class Delivery(Record, frozen=True):
    """What became of a queue.

    Attributes:
        run: whose it is.
        server: whom it is for.
        state: `delivered`; `waiting`: the server does not answer, or the queue cannot be read; `writing`: its process
            is alive and does it itself; `refused`: the server would not take all of it, the rest is delivered.
        messages: how many were delivered now.
        reason: what the server said, or why it cannot be reached.
    """

    run: str
    server: str
    state: str
    messages: int
    reason: str = ""


class Server:
    """A Bucle server.

    Args:
        address: `http://host:port`.
        timeout_s: seconds an answer may take.
    """

    def __init__(self, address: str, *, timeout_s: float = 30.0) -> None:
        import httpx  # noqa: PLC0415  most commands of the room speak to no server

        self.address = address.rstrip("/")
        headers = {CLIENT: __version__, "content-type": MESSAGES}
        # A proxy named in the environment knows nothing of this machine's own addresses.
        is_here = httpx.URL(self.address).host in LOOPBACK
        self._http = httpx.Client(
            base_url=f"{self.address}/api/v1", headers=headers, timeout=timeout_s, trust_env=not is_here
        )

    def begin(self, start: Start) -> None:
        """Begin a run, or know that it was begun. Raises NotDelivered, ServerRefused."""
        self._send("POST", "/runs", msgspec.msgpack.encode(start))

    def log(self, run: str, entry: Entry) -> None:
        """Add to a run. Raises NotDelivered, ServerRefused."""
        self._send("POST", f"/runs/{run}/entries", msgspec.msgpack.encode(entry))

    def put(self, run: str, path: str, file: Path) -> None:
        """Keep a file of a run. Raises NotDelivered, ServerRefused. Cost: reads it once."""
        with file.open("rb") as content:
            self._send("PUT", f"/runs/{run}/artifacts/{quote(path)}", content, kind="application/octet-stream")

    def end(self, run: str, end: End) -> None:
        """End a run. Raises NotDelivered, ServerRefused."""
        self._send("POST", f"/runs/{run}/end", msgspec.msgpack.encode(end))

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def _send(self, method: str, path: str, content: object, *, kind: str = MESSAGES) -> None:
        import httpx  # noqa: PLC0415

        try:
            answer = self._http.request(method, path, content=content, headers={"content-type": kind})  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotDelivered(
                f"{self.address} does not answer: {error or type(error).__name__}.",
                why="What was logged waits on this machine.",
                fix="Start the server, `bucle up`; it is delivered by itself, or with: bucle runs sync",
                at=self.address,
            ) from error
        if answer.status_code in REFUSALS and _is_ours(answer):
            raise ServerRefused(_reason(answer), why="It would refuse it again.", at=f"{method} {path}")
        if not answer.is_success:
            raise NotDelivered(
                f"{self.address} answers {answer.status_code}: {_reason(answer)}",
                why="What was logged waits on this machine.",
                fix="See the server's log; then: bucle runs sync",
                at=f"{method} {path}",
            )


def deliver(queue: Queue, server: Server) -> int:
    """Bring a server what waits in a queue now; what it will never take is set aside.

    Returns:
        How many messages arrived.
    Raises:
        NotDelivered: the server does not answer; what arrived before is acknowledged.
        ServerRefused: it refuses the run itself; all of it still waits.
        QueueDamaged: a message cannot be read.
    """
    count = 0
    for message, after, messages in _portions(queue.undelivered()):
        arrived = True
        try:
            _bring(queue, server, message)
        except ServerRefused as error:
            if isinstance(message, Start):
                raise
            queue.set_aside(message, str(error))
            arrived = False
        queue.acknowledge(after)
        if arrived and isinstance(message, File):
            queue.file(message).unlink(missing_ok=True)
        count += messages
    return count


def sync(root: Path, *, server: str = "") -> list[Delivery]:
    """Deliver what processes left behind that were killed or ended before their server answered.

    A run that nobody ended is ended as `killed`.

    Args:
        root: where the queues stand, see `queue_root`.
        server: only what is for this one.
    Returns:
        What became of each queue; one that cannot be read keeps no other waiting.
    """
    servers: dict[str, Server] = {}
    clear(root)
    try:
        told = [_settle_if_for(server, queue, servers) for queue in queues(root)]
        return [one for one in told if one is not None]
    finally:
        for one in servers.values():
            one.close()


class Courier:
    """A thread that delivers a queue while it is written, and removes it when its end has arrived.

    Args:
        queue: which this process writes.
        server: whom to.
    Attributes:
        error: why delivery does not go on, or None.
        refused: why the server would not take some of it.
    """

    def __init__(self, queue: Queue, server: Server) -> None:
        self._queue = queue
        self._server = server
        self._more = threading.Event()
        self._ended = False
        self._failing_since = 0.0
        self.error: NotDelivered | ServerRefused | None = None
        self.refused: list[str] = []
        self._thread = threading.Thread(target=self._work, name=f"bucle-courier-{queue.run}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is more to deliver."""
        self._more.set()

    def finish(self, timeout_s: float) -> bool:
        """Wait until the last message has arrived, but not for a server that does not answer.

        Returns:
            Whether all has arrived; what has not still waits, and is delivered as long as this process lives.
        """
        self._ended = True
        self.wake()
        until, began = time.monotonic() + timeout_s, time.monotonic()
        while self._thread.is_alive() and time.monotonic() < until:
            self._thread.join(0.02)
            failing = self._failing_since
            if failing and time.monotonic() - max(failing, began) > min(UNREACHABLE_S, timeout_s):
                break
        return not self._thread.is_alive() and self.error is None

    def _work(self) -> None:
        with self._queue.sending() as ours:
            if not ours:
                return
            while not self._is_done():
                self._more.wait(self._pause())
                self._more.clear()
                self._deliver()
            if self.error is None:
                self.refused = self._queue.refused()
                self._queue.remove()
        self._server.close()

    def _is_done(self) -> bool:
        """Whether the end has arrived, or nothing ever will."""
        if isinstance(self.error, ServerRefused):
            return True
        return self._ended and self.error is None and next(self._queue.undelivered(), None) is None

    def _pause(self) -> float | None:
        if self.error is None:
            return None
        # Not all at once when a server that many wait for comes back.
        lasted = time.monotonic() - self._failing_since
        return _chance.uniform(0.5, 1.0) * min(max(lasted / 4, FIRST_PAUSE_S), LONGEST_PAUSE_S)

    def _deliver(self) -> None:
        try:
            deliver(self._queue, self._server)
        except NotDelivered as error:
            if self.error is None:
                _log.warning("%s", error)
                self._failing_since = time.monotonic()
            self.error = error
        except ServerRefused as error:
            _log.error("%s", error)
            self.error = error
        except Exception as error:  # whatever it is, the training goes on and nothing is lost
            _log.exception("run %s is not delivered", self._queue.run)
            self.error, self._failing_since = _unforeseen(self._queue, error), self._failing_since or time.monotonic()
        else:
            self.error, self._failing_since = None, 0.0


def _portions(queued: Iterator[Queued]) -> Iterator[tuple[Message, Place, int]]:
    """Messages as they travel: entries that follow each other together, up to `PORTION` bytes."""
    entries: list[Entry] = []
    size, place = 0, Place(0, 0)
    for message, after, length in queued:
        if entries and (not isinstance(message, Entry) or size + length > PORTION):
            yield merged(entries), place, len(entries)
            entries, size = [], 0
        if isinstance(message, Entry):
            entries.append(message)
            size, place = size + length, after
        else:
            yield message, after, 1
    if entries:
        yield merged(entries), place, len(entries)


def _bring(queue: Queue, server: Server, message: Message) -> None:
    match message:
        case Start():
            server.begin(message)
        case Entry():
            server.log(queue.run, message)
        case End():
            server.end(queue.run, message)
        case File():
            file = queue.file(message)
            if file.exists():  # it arrived, and this process died before it could note so
                server.put(queue.run, message.path, file)


def _settle_if_for(server: str, queue: Queue, servers: dict[str, Server]) -> Delivery | None:
    """Settle a queue that is for a server, or for any; what it cannot be read for is told."""
    address = ""
    try:
        address = queue.server
        if server not in ("", address):
            return None
        if address not in servers:
            servers[address] = Server(address)
        return _settle(queue, servers[address])
    except Exception as error:  # whatever is wrong with it, the others are delivered
        if not queue.folder.exists():
            return None  # delivered and removed by another process just now
        _log.warning("run %s is not delivered: %s: %s", queue.run, type(error).__name__, error)
        reason = _unforeseen(queue, error).what
        return Delivery(run=queue.run, server=address, state="waiting", messages=0, reason=reason)


def _settle(queue: Queue, server: Server) -> Delivery:
    """Deliver a queue that nobody writes any more, end its run, and remove it."""
    told = Delivery(run=queue.run, server=server.address, state="delivered", messages=0)
    with queue.abandoned() as nobody, queue.sending() as ours:
        if not (nobody and ours):
            return msgspec.structs.replace(told, state="writing")
        try:
            count = deliver(queue, server)
            if not queue.has_end():
                server.end(queue.run, End(status="killed", ended_at=queue.last_sign(), error=KILLED))
        except (NotDelivered, ServerRefused, QueueDamaged) as error:
            state = "waiting" if isinstance(error, NotDelivered) else "refused"
            return msgspec.structs.replace(told, state=state, reason=error.what)
        reasons = queue.refused()
        queue.remove()
    state = "refused" if reasons else "delivered"
    return msgspec.structs.replace(told, state=state, messages=count, reason="; ".join(reasons[:3]))


def _is_ours(answer: httpx.Response) -> bool:
    """Whether Bucle itself says so, not a proxy on the way."""
    try:
        return msgspec.json.decode(answer.content, type=dict[str, str])["code"].startswith("BU")
    except (msgspec.MsgspecError, KeyError):
        return False


def _reason(answer: httpx.Response) -> str:
    """What the server says went wrong, in its words when they are Bucle's."""
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, str])
        return f"[{told['code']}] {told['what']} {told['why']}".strip()
    except (msgspec.MsgspecError, KeyError):
        return f"{answer.status_code} {answer.reason_phrase}: {answer.text[:200]}"


def _unforeseen(queue: Queue, error: Exception) -> NotDelivered:
    return NotDelivered(
        f"The queue {queue.folder} cannot be delivered: {type(error).__name__}: {error}.",
        why="What was logged waits there.",
        fix="Mend that, then: bucle runs sync",
        at=str(queue.folder),
    )
