"""`/features`: what does a model see, and where does it come from?"""

from __future__ import annotations

from functools import partial

from bucle.doors.ui.problems import attempt
from bucle.ground.core import Record
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line import features, registry
from bucle.line.features import FeatureView, View

__all__ = ["Features", "ViewFacts", "features_page"]


class ViewFacts(Record, frozen=True):
    """A feature view as it is defined now.

    Attributes:
        name: the view.
        kind: `entity` when it changes over time, `request` when it is computed from the request.
        pin: `name@digest`, as packages carry it.
        keys: the columns that identify the entity.
        inputs: the tables it reads, or the request's columns.
        features: feature -> type.
        ttl_s: how long a row may be used; None for ever.
        users: refs of the model versions whose package pins exactly this definition.
        stale_users: refs of those whose package pins another definition of it.
        refreshed: when the online store was last filled with it.
    """

    name: str
    kind: str
    pin: str
    keys: tuple[str, ...]
    inputs: tuple[str, ...]
    features: dict[str, str]
    ttl_s: float | None
    users: tuple[str, ...]
    stale_users: tuple[str, ...]
    refreshed: Event | None


class Features(Record, frozen=True):
    """Every view.

    Attributes:
        views: by name.
        problems: what could not be read.
    """

    views: tuple[ViewFacts, ...]
    problems: tuple[dict[str, str], ...]


def features_page(project: Project) -> Features:
    """Every view the project's modules define."""
    problems = list[dict[str, str]]()
    found = attempt(problems, lambda: features.views_of(project.modules())) or {}
    pins = _pins(project, problems)
    fills = project.ledger.events(kinds=["features.materialised"], limit=200, newest_first=True)
    return Features(views=tuple(_facts(found[name], pins, fills) for name in sorted(found)), problems=tuple(problems))


def _pins(project: Project, problems: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Ref and pin of every view that a version in use carries."""
    found = []
    for version in registry.versions(project):
        if version.stage in ("rejected", "archived"):
            continue
        package = attempt(problems, partial(registry.load_package, project, version.digest))
        found += [(version.ref, pin) for pin in (package.features if package else ())]
    return found


def _facts(view: View, pins: list[tuple[str, str]], fills: list[Event]) -> ViewFacts:
    is_entity = isinstance(view, FeatureView)
    mine = [(ref, pin) for ref, pin in pins if pin.partition("@")[0] == view.name]
    return ViewFacts(
        name=view.name,
        kind="entity" if is_entity else "request",
        pin=view.pin,
        keys=view.keys if isinstance(view, FeatureView) else (),
        inputs=tuple(source.table for source in view.sources) if isinstance(view, FeatureView) else view.inputs,
        features={name: str(kind) for name, kind in view.schema.items()},
        ttl_s=view.ttl.total_seconds() if isinstance(view, FeatureView) and view.ttl else None,
        users=tuple(ref for ref, pin in mine if pin == view.pin),
        stale_users=tuple(ref for ref, pin in mine if pin != view.pin),
        refreshed=next((event for event in fills if _filled(event, view.name)), None),
    )


def _filled(event: Event, name: str) -> bool:
    return name in event.data.get("rows", {})
