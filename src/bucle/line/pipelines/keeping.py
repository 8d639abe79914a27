"""Keeping a lease alive from a thread while the work goes on in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bucle.ground.store import Database, DatabaseFailed, Lease, LeaseLost, release, renew

__all__ = ["Kept", "keeping"]


class Kept:
    """A lease that is being kept alive.

    Attributes:
        lease: the lease.
        on_loss: called from the renewing thread when somebody else has taken the lease over.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.on_loss: Callable[[], None] = lambda: None


@contextmanager
def keeping(database: Database, lease: Lease) -> Iterator[Kept]:
    """Renew a lease until the block ends, then give it back."""
    kept, over = Kept(lease), threading.Event()

    def beat() -> None:
        while not over.wait(lease.ttl_s / 3):
            try:
                renew(database, lease)
            except LeaseLost:
                kept.on_loss()
                return
            except DatabaseFailed:
                # The next beat tries again; when the lease runs out before, the fence refuses what we write.
                continue

    thread = threading.Thread(target=beat, name=f"bucle-lease {lease.name}", daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        over.set()
        thread.join()
        release(database, lease)
