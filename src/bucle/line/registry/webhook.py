"""Webhook: an address that is told when something changes in the registry, and how far it has been told."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from bucle.ground.core import Record, ServerSection, decode, encode, from_micros, make_ref, suggest, to_micros
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.ground.store import Lease, fence
from bucle.line.registry import store
from bucle.line.registry.address import check_url
from bucle.line.registry.errors import BadWebhook, NoSuchWebhook
from bucle.line.registry.name import check_text
from bucle.line.registry.secret import seal, unseal
from bucle.line.registry.tables import WEBHOOKS
from bucle.line.tracking import BadToken, Page, check_limit, make_token, read_token

__all__ = [
    "HOOKS",
    "Delivery",
    "Webhook",
    "WebhookStatus",
    "create_webhook",
    "delete_webhook",
    "deliveries",
    "note_delivery",
    "update_webhook",
    "webhook",
    "webhook_secret",
    "webhooks",
]

HOOKS = (
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
)
"""What a webhook can be told of."""

WebhookStatus = Literal["ACTIVE", "DISABLED"]

MOST_WEBHOOKS = 1000
LONGEST_SECRET = 1000
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class Webhook(Record, frozen=True):
    """An address that is told.

    Attributes:
        id: its name for programs.
        name: its name for people.
        url: where it is told, by HTTP POST.
        events: what it is told of, see `HOOKS`.
        description: for people.
        status: `ACTIVE` or `DISABLED`; what happens while it is disabled it is never told.
        has_secret: whether what it is told is signed; the secret itself is never shown.
        created_at: when it was made.
        updated_at: when it was changed last.
    """

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    description: str
    status: WebhookStatus
    has_secret: bool
    created_at: datetime
    updated_at: datetime


class Delivery(Record, frozen=True):
    """How far a webhook has been told.

    Attributes:
        webhook: its id.
        seq: every event of the ledger up to this one is delivered, given up, or none of its business.
        attempts: how often the next one was tried.
        due_at: when it is tried next.
        delivered: how many were, in all.
        dropped: how many were given up.
        problem: why the last attempt failed; empty when it did not.
        told: so many messages of the event that comes next are done with; one event may be several.
    """

    webhook: str
    seq: int
    attempts: int
    due_at: datetime
    delivered: int
    dropped: int
    problem: str
    told: int = 0


def create_webhook(
    project: Project,
    name: str,
    url: str,
    events: Sequence[str],
    *,
    description: str = "",
    secret: str = "",
    status: WebhookStatus = "ACTIVE",
    actor: str = "",
) -> Webhook:
    """Tell an address from now on.

    Args:
        events: at least one of `HOOKS`.
        secret: signs what is sent; kept sealed, never shown.
    Raises:
        BadWebhook: the name, the address or an event cannot be.
        BadText: a text is too long.
    """
    now, made = project.clock.now(), str(uuid.uuid4())
    row = {
        "id": made,
        "name": _checked_name(name),
        "description": check_text(description, "description", 1000),
        "url": _checked_url(project, url),
        "events": encode(_checked_events(events)).decode(),
        "secret": seal(project, check_text(secret, "secret", LONGEST_SECRET)),
        "status": status,
        "created_at": now,
        "updated_at": now,
    }
    with project.ledger.transaction(
        "registry.webhook_created", subject=make_ref("webhook", made), actor=actor or project.actor
    ) as tx:
        tx.insert(WEBHOOKS, row)
        _begin_here(project, tx, made)
        tx.data.update({"name": name, "url": url, "events": list(events)})
    return webhook(project, made)


def webhook(project: Project, id: str) -> Webhook:  # noqa: A002  the noun says whose id
    """One webhook.

    Raises:
        NoSuchWebhook: there is none.
    """
    with project.database.reading() as connection:
        return _webhook_of(_found(store.webhook_row(connection, id), id))


def webhooks(project: Project, *, limit: int = 100, token: str = "") -> Page[Webhook]:
    """Webhooks, newest first.

    Args:
        limit: 1 to 1000.
    Raises:
        BadToken: the token is none of ours, or the limit is out of range.
    """
    check_limit(limit, MOST_WEBHOOKS)
    before = None
    if token:
        before = _before(token)
    with project.database.reading() as connection:
        rows = store.webhook_rows(connection, before=before, limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    following = make_token("webhooks", (to_micros(last["created_at"]), last["id"])) if last else ""
    return Page(items=tuple(_webhook_of(row) for row in rows[:limit]), token=following)


def update_webhook(
    project: Project,
    id: str,  # noqa: A002  the noun says whose id
    *,
    name: str | None = None,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    secret: str | None = None,
    status: WebhookStatus | None = None,
    actor: str = "",
) -> Webhook:
    """Change a webhook; None leaves a thing as it is.

    Raises:
        NoSuchWebhook: there is none.
        BadWebhook, BadText: as for `create_webhook`.
    """
    given: dict[str, Any] = {
        "name": None if name is None else _checked_name(name),
        "description": None if description is None else check_text(description, "description", 1000),
        "url": None if url is None else _checked_url(project, url),
        "events": None if events is None else encode(_checked_events(events)).decode(),
        "secret": None if secret is None else seal(project, check_text(secret, "secret", LONGEST_SECRET)),
        "status": status,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    with project.ledger.transaction(
        "registry.webhook_updated", subject=make_ref("webhook", id), actor=actor or project.actor
    ) as tx:
        row = _found(store.webhook_row(tx.connection, id), id)
        tx.update(WEBHOOKS, {"id": id}, {**changes, "updated_at": project.clock.now()})
        if status == "ACTIVE" and row["status"] != "ACTIVE":
            _begin_here(project, tx, id)
        tx.data["changed"] = sorted(changes)
    return webhook(project, id)


def delete_webhook(project: Project, id: str, *, actor: str = "") -> None:  # noqa: A002  the noun says whose id
    """Tell an address no more.

    Raises:
        NoSuchWebhook: there is none.
    """
    with project.ledger.transaction(
        "registry.webhook_deleted", subject=make_ref("webhook", id), actor=actor or project.actor
    ) as tx:
        row = _found(store.webhook_row(tx.connection, id), id)
        tx.delete(WEBHOOKS, {"id": id})
        store.drop_delivery(tx.connection, id)
        tx.data.update({"name": row["name"], "url": row["url"]})


def webhook_secret(project: Project, id: str) -> str:  # noqa: A002  the noun says whose id
    """What signs what a webhook is told; for the signing alone.

    Raises:
        NoSuchWebhook: there is none.
        SecretLocked: it was sealed with another key.
    """
    with project.database.reading() as connection:
        row = _found(store.webhook_row(connection, id), id)
    return unseal(project, row["secret"])


def deliveries(project: Project) -> dict[str, Delivery]:
    """How far each webhook has been told, by its id."""
    with project.database.reading() as connection:
        return {id_: Delivery(**row) for id_, row in store.delivery_rows(connection).items()}


def note_delivery(project: Project, delivery: Delivery, lease: Lease | None = None) -> None:
    """Keep how far a webhook has been told.

    Args:
        lease: under which it was told; None when nobody else can be telling.
    Raises:
        LeaseLost: another process tells now; nothing was kept.
    """
    row = {name: getattr(delivery, name) for name in Delivery.__struct_fields__}
    with project.database.writing() as connection:
        if lease is not None:
            fence(connection, lease)
        if store.webhook_row(connection, delivery.webhook) is not None:
            store.put_delivery(connection, row)


def _before(token: str) -> tuple[datetime, str]:
    """The last webhook of the page before."""
    at, id_ = read_token(token, "webhooks", 2)
    try:
        return from_micros(int(at or 0)), str(id_)
    except (ValueError, OverflowError) as error:
        raise BadToken(
            f"{token[:40]!r} is no page token of ours.",
            why="It was made up.",
            fix="Begin again without it.",
            at="token",
        ) from error


def _begin_here(project: Project, tx: Transaction, id_: str) -> None:
    """A webhook is told of what comes after this very event."""
    none = dict.fromkeys(("attempts", "delivered", "dropped", "told"), 0)
    fresh = {"webhook": id_, "seq": tx.seq, "due_at": project.clock.now(), "problem": "", **none}
    store.put_delivery(tx.connection, fresh)


def _webhook_of(row: dict[str, Any]) -> Webhook:
    events = decode(row["events"], tuple[str, ...], what="webhook")
    shown = {name: row[name] for name in Webhook.__struct_fields__ if name in row}
    return Webhook(**{**shown, "events": events, "has_secret": bool(row["secret"])})


def _found(row: dict[str, Any] | None, id_: str) -> dict[str, Any]:
    if row is None:
        raise NoSuchWebhook(
            f"There is no webhook {id_[:80]!r}.", fix="See those there are: bucle model webhooks", at=id_
        )
    return row


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadWebhook(
            f"{name[:80]!r} cannot be the name of a webhook.",
            why="A name has 1 to 63 letters, digits, '.', '_' or '-', and begins and ends with a letter or digit.",
            fix="E.g. to-slack",
            at="name",
        )
    return name


def _checked_url(project: Project, url: str) -> str:
    check_url(url, project.config.section("server", ServerSection).webhook_hosts)
    return url


def _checked_events(events: Sequence[str]) -> tuple[str, ...]:
    wrong = next((event for event in events if event not in HOOKS), None)
    if wrong is not None or not events:
        raise BadWebhook(
            f"A webhook cannot be told of {wrong!r}." if events else "A webhook is told of nothing.",
            why=f"There is: {', '.join(HOOKS)}.",
            fix=suggest(wrong or "", HOOKS) or "Name at least one of them.",
            at="events",
        )
    return tuple(dict.fromkeys(events))
