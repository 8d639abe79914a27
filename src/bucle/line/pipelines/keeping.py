"""Keeping a lease alive from a thread while the work goes on in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bucle.ground.store import Database, DatabaseFailed, Lease, LeaseLost, release, renew

__all__ = ["keeping"]


@contextmanager
def keeping(database: Database, lease: Lease, on_loss: Callable[[], None]) -> Iterator[None]:
    """Renew a lease until the block ends, then give it back.

    Args:
        on_loss: called from the renewing thread when somebody else has taken the lease over.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease.ttl_s / 3):
            try:
                renew(database, lease)
            except LeaseLost:
                on_loss()
                return
            except DatabaseFailed:
                # The next beat tries again; when the lease runs out before, the fence refuses what we write.
                continue

    thread = threading.Thread(target=beat, name=f"bucle-lease {lease.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        release(database, lease)
