"""Adopting: a model of another registry becomes ours, with the numbers, instants, stages and aliases it had there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, encode, make_ref
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.content import Content
from bucle.line.registry.errors import BadText
from bucle.line.registry.model import LONGEST_DESCRIPTION, Model
from bucle.line.registry.name import check_alias, check_model_name, check_text, model_ref
from bucle.line.registry.stage import STAGES
from bucle.line.registry.tables import ALIASES, MODEL_TAGS, MODELS, NUMBERS, VERSION_TAGS, VERSIONS
from bucle.line.registry.tag import check_tags
from bucle.line.registry.version import ModelVersion

__all__ = ["Adoption", "adopt_model"]

GREATEST = 2**31 - 1
LONGEST_TEXT = 4000

Found = tuple[ModelVersion, Content]


class Adoption(Record, frozen=True):
    """What came of taking a model over.

    Attributes:
        new: the numbers of the versions that were not here before.
        spent: numbers that stood here once for versions that were deleted; they are never given again, so what has
            them elsewhere was not taken over.
    """

    new: tuple[int, ...]
    spent: tuple[int, ...]


def adopt_model(project: Project, found: Model, versions: Sequence[Found], *, reason: str = "") -> Adoption:
    """Take over a model with its versions, in one transaction.

    What is here already is left as it is: the model, a version of the same number, an alias that names another
    version. A number that was deleted here is not used again, and an alias does not come to name a version of other
    content than it names there. No gate is asked and nobody's approval: what a version was there, it is here. Where a
    policy guards the model, `loop.adopt_model` keeps back what it guards.

    Args:
        found: as it is elsewhere.
        versions: each with what it is bound to here; the record's own digest does not count.
    Raises:
        BadModelName, BadTag, BadText, ReservedAlias: it cannot be called, numbered, described or tagged so here.
    """
    _check(found, versions)
    with project.database.reading() as connection:
        fresh, spent = _sorted(connection, found, versions)
        is_known = store.model_row(connection, found.name) is not None
        if is_known and not (fresh or _unnamed(connection, found, versions)):
            return Adoption(new=(), spent=spent)
    with project.ledger.transaction(
        "registry.model_adopted", subject=model_ref(found.name), actor=project.actor, reason=reason
    ) as tx:
        fresh, spent = _sorted(tx.connection, found, versions)
        if store.model_row(tx.connection, found.name) is None:
            _insert_model(tx, found, project.actor)
        for version, content in fresh:
            _insert_version(tx, version, content, project.actor)
        last = max((version.version for version, _ in fresh), default=0)
        if last > store.last_number(tx.connection, found.name):
            tx.put(NUMBERS, {"model": found.name, "last": last})
        named = _unnamed(tx.connection, found, versions)
        for alias, number in named.items():
            tx.insert(ALIASES, {"model": found.name, "alias": alias, "version": number})
        tx.data["versions"] = {str(version.version): content.digest for version, content in fresh}
        tx.data["aliases"] = {alias: {"from": None, "to": number} for alias, number in named.items()}
    return Adoption(new=tuple(version.version for version, _ in fresh), spent=spent)


def _check(found: Model, versions: Sequence[Found]) -> None:
    check_model_name(found.name)
    check_text(found.description, "description", LONGEST_DESCRIPTION)
    check_tags(found.tags)
    for alias in found.aliases:
        check_alias(alias)
    seen = set[int]()
    for version, _ in versions:
        if version.model != found.name or not 0 < version.version <= GREATEST or version.version in seen:
            raise _odd(found, f"{version.model}@{version.version}", "a number from 1 on, given once under its name")
        if version.stage not in STAGES:
            raise _odd(found, f"the stage {version.stage!r}", f"one of {', '.join(STAGES)}")
        seen.add(version.version)
        check_tags(version.tags)
        check_text(version.description, "description", LONGEST_DESCRIPTION)
        for name in ("source", "run", "run_link", "model_id", "author", "status_message"):
            check_text(getattr(version, name), name, LONGEST_TEXT)


def _odd(found: Model, what: str, wanted: str) -> BadText:
    return BadText(
        f"The model {found.name!r} cannot be taken over with {what}.",
        why=f"A version here has {wanted}.",
        fix="Mend it where it comes from.",
        at=found.name,
    )


def _sorted(connection: Connection, found: Model, versions: Sequence[Found]) -> tuple[list[Found], tuple[int, ...]]:
    """The versions whose number is free here, and the numbers of deleted ones."""
    known = {row["version"] for row in store.rows_of_model(connection, found.name)}
    last = store.last_number(connection, found.name)
    missing = [one for one in versions if one[0].version not in known]
    fresh = [one for one in missing if one[0].version > last]
    return fresh, tuple(one[0].version for one in missing if one[0].version <= last)


def _unnamed(connection: Connection, found: Model, versions: Sequence[Found]) -> dict[str, int]:
    """The aliases that name nothing here yet, of versions that are here, or will be, with the same content as there."""
    fresh, _ = _sorted(connection, found, versions)
    digests = {version.version: content.digest for version, content in versions}
    here = {row["version"]: row["digest"] for row in store.rows_of_model(connection, found.name)}
    here |= {version.version: content.digest for version, content in fresh}
    return {
        alias: number
        for alias, number in found.aliases.items()
        if number in here
        and here[number] == digests.get(number)
        and store.alias_target(connection, found.name, alias) is None
    }


def _insert_model(tx: Transaction, found: Model, owner: str) -> None:
    names = ("name", "kind", "description", "successor", "created_at", "updated_at")
    tx.insert(MODELS, {**{name: getattr(found, name) for name in names}, "owner": found.owner or owner})
    for key, value in found.tags.items():
        tx.insert(MODEL_TAGS, {"model": found.name, **store.tag_row(key, value)})


def _insert_version(tx: Transaction, version: ModelVersion, content: Content, author: str) -> None:
    taken_as_is = {
        name: getattr(version, name)
        for name in VERSIONS.c.keys()  # noqa: SIM118  its iteration gives columns
        if name not in ("kind", "digest", "metrics", "author")
    }
    tx.insert(
        VERSIONS,
        {
            **taken_as_is,
            "kind": content.kind,
            "digest": content.digest,
            "metrics": encode(version.metrics).decode(),
            "author": version.author or author,
        },
    )
    for key, value in version.tags.items():
        tx.insert(VERSION_TAGS, {"model": version.model, "version": version.version, **store.tag_row(key, value)})
    for source, target, kind in content.edges:
        tx.edge(source, target or version.ref, kind)
    if version.run:
        tx.edge(make_ref("run", version.run), version.ref, "produced")
    if version.model_id:
        tx.edge(make_ref("logged-model", version.model_id), version.ref, "produced")
