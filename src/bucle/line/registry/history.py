"""History: every change to a model and its versions, with who, when, from which to which, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bucle.ground.core import Record
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line.registry.name import model_of, model_ref

__all__ = ["ALIAS_EVENTS", "Change", "alias_moves", "changes", "changes_of", "history"]

ALIAS_EVENTS = (
    "registry.alias_set",
    "registry.alias_removed",
    "registry.version_deleted",
    "registry.model_deleted",
    "registry.retired",
    "registry.model_adopted",
)
"""The events in which an alias may come to name another version, or none."""


class Change(Record, frozen=True):
    """One thing that became another.

    Attributes:
        seq: the event on the ledger that tells it.
        at: when.
        actor: who.
        model: the model, as it was called then.
        version: the version; None when it is about the model as a whole.
        what: `stage`, `alias champion`, `tag team`, `description`, `version`, `model`, `name`, `successor`,
            `promotion to …`.
        before: what it was; empty when there was nothing.
        after: what it is since; empty when it was taken away.
        reason: why, in the actor's words.
    """

    seq: int
    at: datetime
    actor: str
    model: str
    version: int | None
    what: str
    before: str
    after: str
    reason: str


def history(project: Project, model: str, *, limit: int | None = None) -> list[Event]:
    """All that happened to a model and its versions in the registry, oldest first; what a renamed one was before, too.

    Args:
        limit: only the newest so many.
    Cost: one look through the registry's events in the database.
    """
    found, name, until = list[Event](), model, None
    while True:
        events = [event for event in _events(project, name, limit) if until is None or event.seq < until]
        renamed = next((event for event in events if _renamed_to(event, name)), None)
        found = [event for event in events if renamed is None or event.seq >= renamed.seq] + found
        if renamed is None or (limit is not None and len(found) >= limit):
            ordered = sorted(found, key=lambda event: event.seq)
            return ordered if limit is None else ordered[-limit:]
        name, until = str(renamed.data["from"]), renamed.seq


def changes(project: Project, model: str, *, limit: int | None = None) -> list[Change]:
    """The history of a model as one line a change, oldest first; of the newest `limit` events."""
    return [change for event in history(project, model, limit=limit) for change in changes_of(event)]


def changes_of(event: Event) -> Iterator[Change]:
    """What one event of the registry changed."""
    name, number = model_of(event.subject)
    for what, version, before, after in _told(event, number):
        yield Change(
            seq=event.seq,
            at=event.at,
            actor=event.actor,
            model=name,
            version=version,
            what=what,
            before=_text(before),
            after=_text(after),
            reason=event.reason,
        )


def alias_moves(event: Event) -> dict[str, int | None]:
    """The version each alias names since an event; None where it names none any more."""
    if event.kind not in ALIAS_EVENTS:
        return {}
    if "alias" in event.data:
        return {event.data["alias"]: event.data.get("version")}
    return {alias: moved["to"] for alias, moved in event.data.get("aliases", {}).items()}


def _events(project: Project, name: str, limit: int | None) -> list[Event]:
    found = [
        event
        for subject in (model_ref(name), f"{model_ref(name)}@*")
        for event in project.ledger.events(
            kinds=["registry.*"], subject=subject, limit=limit, newest_first=limit is not None
        )
    ]
    return sorted(found, key=lambda event: event.seq)


def _renamed_to(event: Event, name: str) -> bool:
    return event.kind == "registry.model_renamed" and event.data.get("to") == name


def _told(event: Event, number: int | None) -> Iterator[tuple[str, int | None, Any, Any]]:
    """What, the version, before, after."""
    yield from _of_aliases(event.data)
    yield from _of_the_kind(event, number)
    for one, moved in event.data.get("stages", {}).items():
        yield "stage", int(one), moved["from"], moved["to"]


def _of_the_kind(event: Event, number: int | None) -> Iterator[tuple[str, int | None, Any, Any]]:
    data = event.data
    match event.kind.removeprefix("registry."):
        case "model_created":
            yield "model", None, "", data.get("owner", "registered")
        case "model_adopted":
            yield from (("version", int(one), "", digest) for one, digest in data["versions"].items())
        case "model_deleted":
            yield "model", None, f"{len(data.get('versions', {}))} versions", ""
        case "model_renamed":
            yield "name", None, data["from"], data["to"]
        case "version_registered":
            yield "version", number, "", data.get("digest", "")
        case "version_deleted":
            yield "version", number, data.get("digest", ""), ""
        case "stage_changed":
            yield "stage", number, data["from"], data["to"]
            yield from (("stage", other, data["to"], "archived") for other in data.get("archived", ()))
        case "model_tagged" | "model_untagged" | "version_tagged" | "version_untagged":
            yield f"tag {data['key']}", number, data["from"], data["to"]
        case "model_updated" | "version_updated":
            yield from ((field, number, change["from"], change["to"]) for field, change in data.items())
        case "retired":
            yield from (("stage", one, stage, "archived") for one, stage in _numbered(data["versions"]))
            yield "successor", number, "", data["successor"]
        case "version_copied":
            yield "copy", number, "", f"{data['project']}: {data['to']}"
        case "promotion_requested":
            yield f"promotion to {data['target']}", number, "", "; ".join(one["what"] for one in data["missing"])


def _of_aliases(data: dict[str, Any]) -> Iterator[tuple[str, int | None, Any, Any]]:
    """The alias an event is about, or those that went along with something greater."""
    moves = dict(data.get("aliases", {}))
    if "alias" in data:
        moves[data["alias"]] = {"from": data.get("previous"), "to": data.get("version")}
    for alias, moved in moves.items():
        if moved["from"] != moved["to"]:
            yield f"alias {alias}", moved["to"], moved["from"], moved["to"]


def _numbered(stages: dict[str, str]) -> Iterator[tuple[int, str]]:
    return ((int(number), stage) for number, stage in stages.items())


def _text(value: Any) -> str:
    """A value as it was told; a long text as the blob it stands in."""
    if isinstance(value, dict):
        return f"blob {value.get('blob', '')[:12]}"
    return "" if value is None else str(value)
