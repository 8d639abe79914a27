"""Adopting: a model of another registry becomes ours, with the numbers, instants, stages and aliases it had there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from bucle.ground.core import encode, make_ref
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.content import Content
from bucle.line.registry.model import Model
from bucle.line.registry.name import check_alias, check_model_name, model_ref
from bucle.line.registry.tables import ALIASES, MODEL_TAGS, MODELS, NUMBERS, VERSION_TAGS, VERSIONS
from bucle.line.registry.tag import check_tags
from bucle.line.registry.version import ModelVersion

__all__ = ["adopt_model"]


def adopt_model(
    project: Project, found: Model, versions: Sequence[tuple[ModelVersion, Content]], *, reason: str = ""
) -> int:
    """Take over a model with its versions, in one transaction.

    What is here already is left as it is: the model, a version of the same number, an alias that names another
    version. No gate is asked and nobody's approval: what a version was there, it is here.

    Args:
        found: as it is elsewhere.
        versions: each with what it is bound to here; the record's own digest does not count.
    Returns:
        How many versions were new.
    Raises:
        BadModelName, BadTag, ReservedAlias: it cannot be called or tagged so here.
    """
    check_model_name(found.name)
    check_tags(found.tags)
    for alias in found.aliases:
        check_alias(alias)
    for version, _ in versions:
        check_tags(version.tags)
    with project.database.reading() as connection:
        fresh = _fresh(store.rows_of_model(connection, found.name), versions)
        if not (fresh or _unnamed(connection, found)) and store.model_row(connection, found.name) is not None:
            return 0
    with project.ledger.transaction(
        "registry.model_adopted", subject=model_ref(found.name), actor=project.actor, reason=reason
    ) as tx:
        fresh = _fresh(store.rows_of_model(tx.connection, found.name), versions)
        if store.model_row(tx.connection, found.name) is None:
            _insert_model(tx, found, project.actor)
        for version, content in fresh:
            _insert_version(tx, version, content, project.actor)
        last = max((version.version for version, _ in fresh), default=0)
        if last > store.last_number(tx.connection, found.name):
            tx.put(NUMBERS, {"model": found.name, "last": last})
        for alias, number in _unnamed(tx.connection, found).items():
            if store.stage_of(tx.connection, found.name, number) is not None:
                tx.insert(ALIASES, {"model": found.name, "alias": alias, "version": number})
        tx.data["versions"] = {str(version.version): content.digest for version, content in fresh}
    return len(fresh)


def _unnamed(connection: Connection, found: Model) -> dict[str, int]:
    """The aliases that name nothing here yet."""
    return {
        alias: number
        for alias, number in found.aliases.items()
        if store.alias_target(connection, found.name, alias) is None
    }


def _fresh(
    rows: Sequence[store.Row], versions: Sequence[tuple[ModelVersion, Content]]
) -> list[tuple[ModelVersion, Content]]:
    known = {row["version"] for row in rows}
    return [one for one in versions if one[0].version not in known]


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
