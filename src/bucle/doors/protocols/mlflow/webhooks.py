"""Webhooks: who is told what happens in the registry."""

from __future__ import annotations

from typing import get_args

from bucle.doors.protocols.mlflow.delivery import try_out
from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.experiments import check_page_size
from bucle.doors.protocols.mlflow.wire import Body, Json, Route, lean, millis, required
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Webhook, WebhookStatus

__all__ = ["ROUTES", "shown"]

PAGE = 100
MOST = 1000

_ENTITIES = ("registered_model", "model_version", "model_version_tag", "model_version_alias", "prompt",
             "prompt_version", "prompt_tag", "prompt_version_tag", "prompt_alias", "budget_policy")  # fmt: skip
_ACTIONS = ("created", "updated", "deleted", "set", "exceeded")


class HookEvent(Body):
    """What a webhook is told of, as MLflow's enums or their numbers."""

    entity: str | int = ""
    action: str | int = ""


class CreateWebhook(Body):
    """A new webhook."""

    name: str = ""
    url: str = ""
    events: list[HookEvent] = []
    description: str = ""
    secret: str = ""
    status: str | int = ""


class ListWebhooks(Body):
    """Which page."""

    max_results: int = PAGE
    page_token: str = ""


class NamedWebhook(Body):
    """A webhook by its id."""

    webhook_id: str = ""


class UpdateWebhook(Body):
    """What is to be different."""

    webhook_id: str = ""
    name: str = ""
    url: str = ""
    events: list[HookEvent] = []
    description: str | None = None
    secret: str | None = None
    status: str | int = ""


class TestWebhook(Body):
    """What to try."""

    webhook_id: str = ""
    event: HookEvent | None = None


def shown(webhook: Webhook) -> Json:
    """A webhook as the wire has it; the secret is never shown."""
    events = [dict(zip(("entity", "action"), event.upper().split("."), strict=True)) for event in webhook.events]
    return lean(
        {
            "webhook_id": webhook.id,
            "name": webhook.name,
            "description": webhook.description or None,
            "url": webhook.url,
            "events": events,
            "status": webhook.status,
            "creation_timestamp": millis(webhook.created_at),
            "last_updated_timestamp": millis(webhook.updated_at),
        }
    )


def create(body: CreateWebhook, project: Project) -> Json:
    """A new webhook."""
    made = registry.create_webhook(
        project,
        required("name", body.name),
        required("url", body.url),
        [_hook(event) for event in body.events],
        description=body.description,
        secret=body.secret,
        status=_status(body.status) or "ACTIVE",
    )
    return {"webhook": shown(made)}


def list_all(body: ListWebhooks, project: Project) -> Json:
    """A page of webhooks."""
    limit = check_page_size(body.max_results or PAGE, MOST)
    page = registry.webhooks(project, limit=limit, token=body.page_token)
    found = [shown(one) for one in page.items]
    return lean({"webhooks": found or None, "next_page_token": page.token or None})


def get(body: NamedWebhook, project: Project) -> Json:
    """One webhook."""
    return {"webhook": shown(registry.webhook(project, body.webhook_id))}


def update(body: UpdateWebhook, project: Project) -> Json:
    """Change a webhook."""
    made = registry.update_webhook(
        project,
        body.webhook_id,
        name=body.name or None,
        url=body.url or None,
        events=[_hook(event) for event in body.events] or None,
        description=body.description,
        secret=body.secret,
        status=_status(body.status),
    )
    return {"webhook": shown(made)}


def delete(body: NamedWebhook, project: Project) -> Json:
    """Tell it no more."""
    registry.delete_webhook(project, body.webhook_id)
    return {}


def test(body: TestWebhook, project: Project) -> Json:
    """Send it an example now, and say how that went."""
    webhook = registry.webhook(project, body.webhook_id)
    hook = _hook(body.event) if body.event is not None else webhook.events[0]
    if hook not in registry.HOOKS:
        raise invalid(f"A webhook cannot be told of {hook}. There is: {', '.join(registry.HOOKS)}.")
    sent = try_out(project, webhook, hook)
    found = {
        "success": sent.arrived,
        "response_status": sent.status or None,
        "response_body": sent.body or None,
        "error_message": f"Failed to test webhook: {sent.problem}" if sent.problem else None,
    }
    return {"result": lean(found)}


def _hook(event: HookEvent) -> str:
    return f"{_named(event.entity, _ENTITIES, 1)}.{_named(event.action, _ACTIONS, 1)}"


def _named(given: str | int, names: tuple[str, ...], first: int) -> str:
    """An enum's value by name or number."""
    text = str(given)
    if text.isdecimal():
        place = int(text) - first
        return names[place] if 0 <= place < len(names) else text
    return text.lower()


def _status(given: str | int) -> WebhookStatus | None:
    if given in ("", 0):
        return None
    text = {"1": "ACTIVE", "2": "DISABLED"}.get(str(given), str(given).upper())
    found = next((status for status in get_args(WebhookStatus) if status == text), None)
    if found is None:
        raise invalid(f"Invalid webhook status: {str(given)[:40]!r}. It is ACTIVE or DISABLED.")
    status: WebhookStatus = found
    return status


_AT = "/api/2.0/mlflow/webhooks"

ROUTES = (
    Route("POST", _AT, CreateWebhook, create),
    Route("GET", _AT, ListWebhooks, list_all),
    Route("GET", f"{_AT}/{{webhook_id}}", NamedWebhook, get),
    Route("PATCH", f"{_AT}/{{webhook_id}}", UpdateWebhook, update),
    Route("DELETE", f"{_AT}/{{webhook_id}}", NamedWebhook, delete),
    Route("POST", f"{_AT}/{{webhook_id}}/test", TestWebhook, test),
)
