"""Delivery: the ledger's events, told to webhooks one after the other, at least once each.

Every webhook has a cursor in the database. It moves on when a message was taken, refused for good, or given up after
`ATTEMPTS`; so a crash loses none, and what was on its way then comes again under the same delivery id. Each webhook is
told in the ledger's order by a task of its own that ends after `TURN_S`, so one that is slow or does not answer delays
no other. Of several servers on one database the one that holds the lease tells; a cursor moves only under that lease.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from msgspec.structs import replace

from bucle.doors.protocols.mlflow.notices import EXAMPLES, KINDS, Notice, notices_of
from bucle.doors.protocols.mlflow.sending import Sent, signed, transmit
from bucle.doors.protocols.mlflow.wire import encode
from bucle.ground.core import BucleError, ServerSection
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.ground.store import (
    BlobCorrupt,
    BlobMissing,
    Lease,
    LeaseLost,
    acquire,
    release,
    renew,
    this_process,
)
from bucle.line import registry
from bucle.line.registry import Delivery, Webhook

__all__ = ["ATTEMPTS", "deliver", "deliver_due", "try_out", "wait_s"]

ATTEMPTS = 8
"""After so many a message is given up; with the waits between them that is about four minutes."""
LONGEST_WAIT_S = 120.0
LOOK_S = 0.5
LEASE_S = 15.0
AT_ONCE = 32
"""Webhooks that are told side by side."""
TURN_S = 15.0
"""After so long a webhook that has more to be told waits for its next turn, and others may come first."""
PAGE = 100

_log = logging.getLogger("bucle.webhooks")


def deliver(project: Project, stop: threading.Event) -> None:
    """Tell webhooks what happens until `stop` is set; of several servers on one database one does so at a time."""
    while not stop.wait(LOOK_S):
        try:
            if registry.deliveries(project):
                _hold(project, stop)
        except Exception:  # the thread's edge: a database that is away now may be back soon
            _log.exception("webhooks could not be told; trying again")
            stop.wait(LONGEST_WAIT_S / 8)


def deliver_due(project: Project, stop: threading.Event | None = None) -> int:
    """Tell every webhook all it has not been told and is due; how many messages arrived."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucle-webhook") as pool:
        telling = _Telling(project, pool, stop or threading.Event())
        return sum(task.result() for task in telling.begin())


def try_out(project: Project, webhook: Webhook, hook: str) -> Sent:
    """Send a webhook an example, as its test."""
    return _send(project, webhook, Notice(hook=hook, data=EXAMPLES[hook]), str(uuid.uuid4()))


def wait_s(attempts: int) -> float:
    """Seconds until the next attempt after so many have failed: 1, 2, 4, … up to two minutes."""
    return float(min(2.0 ** max(attempts - 1, 0), LONGEST_WAIT_S))


def _hold(project: Project, stop: threading.Event) -> None:
    """Go on telling while this process has the lease."""
    lease = acquire(project.database, "webhooks", this_process(), LEASE_S)
    if lease is None:
        return
    halt = threading.Event()
    keeper = threading.Thread(target=_keep, args=(project, lease, halt), name="bucle-webhook-lease")
    keeper.start()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucle-webhook")
    telling = _Telling(project, pool, halt, lease)
    try:
        while not halt.is_set() and not stop.is_set() and registry.deliveries(project):
            telling.begin()
            stop.wait(LOOK_S)
    finally:
        halt.set()  # what is on its way is cut short; its cursor stays where it is
        pool.shutdown(cancel_futures=True)
        keeper.join()
        release(project.database, lease)


def _keep(project: Project, lease: Lease, halt: threading.Event) -> None:
    """Renew the lease until all is to end; when that fails, have it end."""
    while not halt.wait(LEASE_S / 4):
        try:
            renew(project.database, lease)
        except (LeaseLost, BucleError):
            halt.set()


class _Telling:
    """The tasks that tell webhooks, one for each at a time.

    Args:
        project: open.
        pool: where they run.
        halt: ends them.
        lease: under which they tell; None when nobody else does.
    """

    def __init__(
        self, project: Project, pool: ThreadPoolExecutor, halt: threading.Event, lease: Lease | None = None
    ) -> None:
        self._project = project
        self._pool = pool
        self._halt = halt
        self._lease = lease
        self._running: dict[str, Future[int]] = {}

    def begin(self) -> list[Future[int]]:
        """Begin to tell every webhook that is due and is not being told; those that wait longest come first."""
        self._running = {id_: task for id_, task in self._running.items() if not task.done()}
        known = registry.deliveries(self._project)
        due = [
            (hook, known[hook.id])
            for hook in _all(self._project)
            if hook.status == "ACTIVE" and hook.id in known and hook.id not in self._running
            if _is_due(self._project, known[hook.id])
        ]
        begun = {
            hook.id: self._pool.submit(self._turn, hook, at) for hook, at in sorted(due, key=lambda one: one[1].seq)
        }
        self._running |= begun
        return list(begun.values())

    def _turn(self, webhook: Webhook, delivery: Delivery) -> int:
        try:
            return self._tell(webhook, delivery) - delivery.delivered
        except LeaseLost:
            self._halt.set()
        except Exception:  # a task's edge: the next turn tries again, the others go on
            _log.exception("webhook %s (%s) could not be told; trying again", webhook.name, webhook.id)
        return 0

    def _tell(self, webhook: Webhook, delivery: Delivery) -> int:
        """Tell one webhook what comes after its cursor until something does not arrive; how much has arrived in all."""
        until = time.monotonic() + TURN_S
        last = delivery
        for event in self._project.ledger.events(kinds=KINDS, after=delivery.seq, limit=PAGE):
            for place, notice in _notices(self._project, webhook, event, delivery.told):
                if self._halt.is_set() or time.monotonic() > until:
                    return self._noted(last, delivery)
                sent = _send(self._project, webhook, notice, _id(webhook, event, place), self._halt)
                if self._halt.is_set() and not sent.arrived:
                    return self._noted(last, delivery)  # it was cut short, which is nobody's fault
                delivery = last = self._note(_after(self._project, webhook, delivery, sent, place))
                if delivery.attempts:
                    return delivery.delivered
            delivery = replace(delivery, seq=event.seq, told=0)
        return self._noted(last, delivery)

    def _note(self, delivery: Delivery) -> Delivery:
        registry.note_delivery(self._project, delivery, self._lease)
        return delivery

    def _noted(self, kept: Delivery, delivery: Delivery) -> int:
        if delivery != kept:
            self._note(delivery)
        return delivery.delivered


def _notices(project: Project, webhook: Webhook, event: Event, told: int) -> list[tuple[int, Notice]]:
    """What a webhook is yet told of an event, with each message's place; nothing when what it would say is lost."""
    try:
        messages = enumerate(notices_of(project, event))
        return [(place, one) for place, one in messages if place >= told and one.hook in webhook.events]
    except (BlobMissing, BlobCorrupt) as error:
        _log.warning("webhook %s is not told of event %s: %s", webhook.id, event.seq, error.what)
        return []


def _all(project: Project) -> Iterator[Webhook]:
    token = ""
    while True:
        page = registry.webhooks(project, limit=PAGE, token=token)
        yield from page.items
        token = page.token
        if not token:
            return


def _is_due(project: Project, delivery: Delivery) -> bool:
    return delivery.attempts == 0 or delivery.due_at <= project.clock.now()


def _after(project: Project, webhook: Webhook, delivery: Delivery, sent: Sent, place: int) -> Delivery:
    """How far a webhook has come after an attempt; `attempts` is above 0 when the same message is to be tried again."""
    if sent.arrived:
        return replace(delivery, told=place + 1, attempts=0, delivered=delivery.delivered + 1, problem="")
    attempts, problem = delivery.attempts + 1, (sent.problem or f"it answered {sent.status}")[:500]
    if sent.may_arrive_later and attempts < ATTEMPTS:
        due = project.clock.now() + timedelta(seconds=wait_s(attempts))
        return replace(delivery, attempts=attempts, due_at=due, problem=problem)
    # The address itself may hold a token, so it stays out of the log.
    _log.warning("webhook %s (%s): a message was given up: %s", webhook.name, webhook.id, problem)
    return replace(delivery, told=place + 1, attempts=0, dropped=delivery.dropped + 1, problem=problem)


def _send(
    project: Project, webhook: Webhook, notice: Notice, delivery: str, stop: threading.Event | None = None
) -> Sent:
    now = project.clock.now()
    entity, _, action = notice.hook.partition(".")
    message = {"entity": entity, "action": action, "timestamp": now.isoformat(), "data": notice.data}
    body = encode(message)
    try:
        secret = registry.webhook_secret(project, webhook.id)
    except BucleError as error:
        return Sent(status=0, problem=error.what)
    headers = signed(secret, delivery, str(int(now.timestamp())), body)
    allowed = project.config.section("server", ServerSection).webhook_hosts
    return transmit(webhook.url, body, headers, allowed, stop or threading.Event())


def _id(webhook: Webhook, event: Event, place: int) -> str:
    """The name of a message: the same at every attempt."""
    return str(uuid.uuid5(uuid.UUID(webhook.id), f"{event.seq}/{place}"))
