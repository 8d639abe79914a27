"""Kept: an environment under a name, with the settings it goes with, to be compared with another: `dev`, `prod`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bucle.ground.core import Environment, Record, check_name, decode, encode, make_ref, suggest
from bucle.ground.project import Project
from bucle.line.environments.diff import Difference, diff, diff_mappings
from bucle.line.environments.errors import NoSuchEnvironment

__all__ = ["KEPT", "Kept", "compare", "keep", "kept", "kept_named"]

KEPT = "environments.kept"


class Kept(Record, frozen=True):
    """An environment and the settings of the project that ran in it.

    Attributes:
        name: `dev`, `prod`, or what it was looked at as.
        environment: Python, packages, machine.
        settings: `table.key` of `bucle.toml` -> value; empty where they are not known.
        at: when it was looked at.
        actor: who did.
    """

    name: str
    environment: Environment
    settings: dict[str, str]
    at: datetime
    actor: str


def keep(project: Project, name: str, environment: Environment, settings: Mapping[str, str]) -> Kept:
    """Keep an environment under a name; the one that had it before stays on the ledger.

    Args:
        settings: those in force, by dotted name; no secret among them.
    Raises:
        BadName: the name is none.
    """
    made = Kept(
        name=check_name(name, "name of an environment"),
        environment=environment,
        settings=dict(settings),
        at=project.clock.now(),
        actor=project.actor,
    )
    project.ledger.record(
        KEPT,
        subject=make_ref("environment", name),
        actor=project.actor,
        data={"environment": environment.digest, "blob": project.blobs.put(encode(made))},
    )
    return made


def kept(project: Project) -> dict[str, Kept]:
    """The newest environment of each name."""
    newest = {event.subject: event.data["blob"] for event in project.ledger.events(kinds=[KEPT])}
    found = (decode(project.blobs.get(digest), Kept, what="environment") for digest in newest.values())
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def kept_named(project: Project, name: str) -> Kept:
    """The newest environment of a name.

    Raises:
        NoSuchEnvironment: none is kept under it.
    """
    known = kept(project)
    if name not in known:
        raise NoSuchEnvironment(
            f"No environment is kept as {name!r}. {suggest(name, known)}".rstrip(),
            why=f"There is: {', '.join(known)}." if known else "None is kept yet.",
            fix=f"Where it runs: bucle env keep {name}",
            at=name,
        )
    return known[name]


def compare(left: Kept, right: Kept) -> list[Difference]:
    """Every difference between two environments, and their settings where both are known; what counts comes first."""
    both = left.settings and right.settings
    settings = diff_mappings("setting", left.settings, right.settings) if both else ()
    return [*diff(left.environment, right.environment), *settings]
