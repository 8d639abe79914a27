"""Delivery: the ledger's events, told to webhooks one after the other, at least once each.

Every webhook has a cursor in the database. It moves on when a message was taken, refused for good, or given up after
`ATTEMPTS`; so a crash loses none, and what was on its way then comes again under the same delivery id. Each webhook is
told in the ledger's order, and one that does not answer delays no other.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from msgspec.structs import replace

from bucle.doors.protocols.mlflow.notices import EXAMPLES, KINDS, Notice, notices_of
from bucle.doors.protocols.mlflow.sending import Sent, signed, transmit
from bucle.doors.protocols.mlflow.wire import encode
from bucle.ground.core import BucleError, ServerSection
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.ground.store import LeaseLost, acquire, release, renew, this_process
from bucle.line import registry
from bucle.line.registry import Delivery, Webhook

__all__ = ["ATTEMPTS", "deliver", "deliver_due", "try_out", "wait_s"]

ATTEMPTS = 8
"""After so many a message is given up; with the waits between them that is about four minutes."""
LONGEST_WAIT_S = 120.0
LOOK_S = 0.5
LEASE_S = 15.0
AT_ONCE = 8
"""Webhooks that are told side by side."""
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
    halt = stop or threading.Event()
    active = [hook for hook in _all(project) if hook.status == "ACTIVE"]
    known = registry.deliveries(project)
    due = [(hook, known[hook.id]) for hook in active if hook.id in known and _is_due(project, known[hook.id])]
    if not due:
        return 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bucle-webhook") as pool:
        told = [pool.submit(_tell, project, webhook, delivery, halt) for webhook, delivery in due]
        return sum(one.result() for one in told)


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
    lost = threading.Event()

    def keep() -> None:
        while not lost.wait(LEASE_S / 4):
            try:
                renew(project.database, lease)
            except (LeaseLost, BucleError):
                lost.set()

    keeper = threading.Thread(target=keep, name="bucle-webhook-lease")
    keeper.start()
    try:
        while not lost.is_set() and not stop.is_set() and registry.deliveries(project):
            deliver_due(project, stop)
            stop.wait(LOOK_S)
    finally:
        lost.set()
        keeper.join()
        release(project.database, lease)


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


def _tell(project: Project, webhook: Webhook, delivery: Delivery, stop: threading.Event) -> int:
    """Tell one webhook what comes after its cursor, until something does not arrive; how much arrived."""
    before = delivery.delivered
    for event in project.ledger.events(kinds=KINDS, after=delivery.seq, limit=PAGE):
        notices = [one for one in enumerate(notices_of(project, event)) if one[1].hook in webhook.events]
        for place, notice in notices:
            if stop.is_set():
                return delivery.delivered - before
            sent = _send(project, webhook, notice, _id(webhook, event, place), stop)
            delivery = _after(project, webhook, delivery, sent)
            if delivery.attempts:
                registry.note_delivery(project, delivery)
                return delivery.delivered - before
        delivery = replace(delivery, seq=event.seq)
        if notices:
            registry.note_delivery(project, delivery)
    registry.note_delivery(project, delivery)
    return delivery.delivered - before


def _after(project: Project, webhook: Webhook, delivery: Delivery, sent: Sent) -> Delivery:
    """How far a webhook has come after an attempt; `attempts` is above 0 when the same message is to be tried again."""
    if sent.arrived:
        return replace(delivery, attempts=0, delivered=delivery.delivered + 1, problem="")
    attempts, problem = delivery.attempts + 1, (sent.problem or f"it answered {sent.status}")[:500]
    if sent.may_arrive_later and attempts < ATTEMPTS:
        due = project.clock.now() + timedelta(seconds=wait_s(attempts))
        return replace(delivery, attempts=attempts, due_at=due, problem=problem)
    # The address itself may hold a token, so it stays out of the log.
    _log.warning("webhook %s (%s): a message was given up: %s", webhook.name, webhook.id, problem)
    return replace(delivery, attempts=0, dropped=delivery.dropped + 1, problem=problem)


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
