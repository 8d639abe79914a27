"""ModelVersion: one trained model, numbered for ever, with where it came from and how far it has come."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, check_name, decode, encode, make_ref, split_ref, suggest
from bucle.ground.ledger import AlreadyDone, Event, Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.errors import NoSuchModel, NoSuchVersion, ReservedAlias
from bucle.line.registry.package import Package, load_package
from bucle.line.registry.stage import Stage, check_transition
from bucle.line.registry.tables import ALIASES, VERSIONS

__all__ = ["LATEST", "ModelVersion", "history", "register", "set_alias", "transition", "version", "versions"]

LATEST = "latest"
"""Reads as the version with the greatest number; no alias can be called so."""

_log = logging.getLogger("bucle.registry")


class ModelVersion(Record, frozen=True):
    """One version of a model.

    Attributes:
        model: the model's name.
        version: 1, 2, 3, …; never given twice.
        digest: of its package.
        stage: `registered`, `validated`, `production`, `archived` or `rejected`.
        run: id of the run that made it, or empty.
        execution: id of the pipeline execution that made it, or empty.
        commit: id of the data commit it was trained on, or empty.
        author: who registered it; cannot approve it.
        created_at: when it was registered.
        metrics: what it scored offline.
        description: for people.
        aliases: `champion`, `challenger`, …, sorted.
    """

    model: str
    version: int
    digest: str
    stage: Stage
    run: str
    execution: str
    commit: str
    author: str
    created_at: datetime
    metrics: dict[str, float]
    description: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """What it is called on the ledger, e.g. `model/flights@3`."""
        return make_ref("model", self.model, self.version)


def register(
    project: Project,
    model: str,
    package: Package | str,
    *,
    run: str = "",
    execution: str = "",
    commit: str = "",
    metrics: Mapping[str, float] | None = None,
    author: str | None = None,
    description: str = "",
    reason: str = "",
    key: str | None = None,
) -> ModelVersion:
    """Give a package the next number of a model. The same package is one version: it is not numbered twice.

    Args:
        package: the package or its digest.
        run, execution, commit: ids of what it came from, without `run/` and the like.
        author: the project's actor unless given.
    Returns:
        The new version; the one there is when `key` was used before or the model has this very package.
    Raises:
        BadName: the model's name does not fit in a ref.
        NoSuchPackage: the package is not in this project.
    """
    check_name(model, "model")
    made = package if isinstance(package, Package) else load_package(project, package)
    actor = author or project.actor
    existing = _find_registered(project, model, made.digest, key)
    if existing is not None:
        _log.warning("model %s has package %s already, as version %s", model, made.digest[:12], existing)
        return version(project, model, existing)
    row: dict[str, Any] = {
        "model": model,
        "version": 0,
        "digest": load_package(project, made.digest).digest,
        "stage": "registered",
        "run": run,
        "execution": execution,
        "commit": commit,
        "author": actor,
        "created_at": project.clock.now(),
        "metrics": encode({name: float(value) for name, value in (metrics or {}).items()}).decode(),
        "description": description,
    }
    return _insert(project, row, made, reason=reason, key=key)


def version(project: Project, model: str, version_or_alias: int | str = LATEST) -> ModelVersion:
    """One version, by number, alias or `latest`.

    Raises:
        NoSuchModel: no model has this name.
        NoSuchVersion: it has no such version or alias.
    """
    with project.database.reading() as connection:
        number = _number(connection, model, version_or_alias)
        row = store.version_row(connection, model, number) if number is not None else None
        if row is None:
            raise _unknown(connection, model, version_or_alias)
        return _version_of(row, store.aliases_of(connection, model))


def versions(project: Project, model: str | None = None) -> list[ModelVersion]:
    """Every version of a model, or of all models, oldest first.

    Raises:
        NoSuchModel: no model has this name.
    """
    with project.database.reading() as connection:
        rows = store.rows_of_model(connection, model)
        if model is not None and not rows:
            raise _unknown_model(connection, model)
        aliases = store.aliases_of(connection, model)
    return [_version_of(row, aliases) for row in rows]


def transition(
    project: Project, model: str, version: int, stage: str, *, actor: str, reason: str, key: str | None = None
) -> ModelVersion:
    """Move a version to another stage, as one event with who and why. To the stage it is in: nothing happens.

    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        IllegalTransition: it cannot go there from where it is.
    """
    current = _exact(project, model, version)
    if current.stage == stage:
        return current
    try:
        with project.ledger.transaction(
            "registry.stage_changed", subject=current.ref, actor=actor, reason=reason, key=key
        ) as tx:
            now = store.stage_of(tx.connection, model, version) or ""
            if now == stage:
                raise _Overtaken
            check_transition(current.ref, now, stage)
            tx.update(VERSIONS, {"model": model, "version": version}, {"stage": stage})
            tx.data.update({"from": now, "to": stage, "digest": current.digest})
    except (_Overtaken, AlreadyDone):
        pass
    return _exact(project, model, version)


def set_alias(
    project: Project, model: str, alias: str, version: int | None, *, actor: str, reason: str, key: str | None = None
) -> ModelVersion | None:
    """Let an alias name another version, or none; every reader sees the old or the new, never both or neither.

    Args:
        alias: e.g. `champion`; not a number, not `latest`.
        version: None takes the alias away.
    Returns:
        The version it names now, or None.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        ReservedAlias: the alias would read as a version number or as `latest`.
    """
    _check_alias(alias)
    if version is None:
        versions(project, model)
    else:
        _exact(project, model, version)
    if _target(project, model, alias) == version:
        return None if version is None else _exact(project, model, version)
    kind = "registry.alias_removed" if version is None else "registry.alias_set"
    try:
        with project.ledger.transaction(
            kind, subject=make_ref("model", model), actor=actor, reason=reason, key=key
        ) as tx:
            _point(tx, model, alias, version)
    except AlreadyDone:
        pass
    now = _target(project, model, alias)
    return None if now is None else _exact(project, model, now)


def history(project: Project, model: str) -> list[Event]:
    """All that happened to a model and its versions in the registry, oldest first.

    Cost: reads every event of the registry.
    """
    events = project.ledger.events(kinds=["registry.*"])
    return [event for event in events if split_ref(event.subject)[:2] == ("model", model)]


def _find_registered(project: Project, model: str, digest: str, key: str | None) -> int | None:
    event = project.ledger.find(key) if key is not None else None
    if event is not None:
        return int(split_ref(event.subject)[2] or 0)
    with project.database.reading() as connection:
        row = store.row_of_digest(connection, model, digest)
    return None if row is None else int(row["version"])


def _insert(
    project: Project, row: Mapping[str, Any], package: Package, *, reason: str, key: str | None
) -> ModelVersion:
    """Write a version under the number that is next by then; a rival that wrote the same package first wins."""
    model = row["model"]
    number = _next(project, model)
    while True:
        ref = make_ref("model", model, number)
        try:
            with project.ledger.transaction(
                "registry.version_registered", subject=ref, actor=row["author"], reason=reason, key=key
            ) as tx:
                known = store.row_of_digest(tx.connection, model, package.digest)
                if known is not None or store.next_version(tx.connection, model) != number:
                    raise _Overtaken
                tx.insert(VERSIONS, {**row, "version": number})
                _note_origin(tx, ref, row, package)
        except (_Overtaken, AlreadyDone):
            existing = _find_registered(project, model, package.digest, key)
            if existing is not None:
                return _exact(project, model, existing)
            number = _next(project, model)
        else:
            return _exact(project, model, number)


class _Overtaken(Exception):
    """Another process wrote first; look again."""


def _note_origin(tx: Transaction, ref: str, row: Mapping[str, Any], package: Package) -> None:
    packed = make_ref("package", package.digest)
    tx.edge(packed, ref, "packaged")
    for digest in package.files.values():
        tx.edge(make_ref("blob", digest), packed, "contains")
    for view in package.features:
        tx.edge(make_ref("view", view), ref, "uses")
    for source, kind in (("run", "produced"), ("execution", "produced"), ("commit", "trained_on")):
        if row[source]:
            tx.edge(make_ref(source, row[source]), ref, kind)
    tx.data.update({"digest": package.digest, "run": row["run"], "execution": row["execution"]})
    tx.data.update({"commit": row["commit"], "metrics": decode(row["metrics"], dict[str, float | None])})


def _next(project: Project, model: str) -> int:
    with project.database.reading() as connection:
        return store.next_version(connection, model)


def _target(project: Project, model: str, alias: str) -> int | None:
    with project.database.reading() as connection:
        return store.alias_target(connection, model, alias)


def _exact(project: Project, model: str, number: int) -> ModelVersion:
    with project.database.reading() as connection:
        row = store.version_row(connection, model, number)
        if row is None:
            raise _unknown(connection, model, number)
        return _version_of(row, store.aliases_of(connection, model))


def _point(tx: Transaction, model: str, alias: str, version: int | None) -> None:
    previous = store.alias_target(tx.connection, model, alias)
    if version is not None:
        tx.put(ALIASES, {"model": model, "alias": alias, "version": version})
    elif previous is not None:
        tx.delete(ALIASES, {"model": model, "alias": alias})
    tx.data.update({"alias": alias, "version": version, "previous": previous})


def _number(connection: Connection, model: str, given: int | str) -> int | None:
    if isinstance(given, int):
        return given
    if given.isdecimal():
        return int(given)
    if given == LATEST:
        return store.next_version(connection, model) - 1
    return store.alias_target(connection, model, given)


def _version_of(row: Mapping[str, Any], aliases: Mapping[tuple[str, int], tuple[str, ...]]) -> ModelVersion:
    metrics = decode(row["metrics"], dict[str, float | None], what="model version")
    return ModelVersion(
        **{
            **row,
            "metrics": {name: float("nan") if value is None else value for name, value in metrics.items()},
            "aliases": aliases.get((row["model"], row["version"]), ()),
        }
    )


def _check_alias(alias: str) -> None:
    check_name(alias, "alias")
    if alias.isdecimal() or alias == LATEST or (alias[:1] == "v" and alias[1:].isdecimal()):
        raise ReservedAlias(
            f"{alias!r} cannot be an alias.",
            why="It reads as a version.",
            fix="Choose a word, e.g. champion.",
            at=alias,
        )


def _unknown_model(connection: Connection, model: str) -> NoSuchModel:
    names = store.model_names(connection)
    return NoSuchModel(
        f"There is no model {model!r}.",
        why=f"Models here: {', '.join(names[:8])}." if names else "No model was registered yet.",
        fix=suggest(model, names) or "See: bucle model list",
        at=model,
    )


def _unknown(connection: Connection, model: str, given: int | str) -> NoSuchModel | NoSuchVersion:
    numbers = [row["version"] for row in store.rows_of_model(connection, model)]
    if not numbers:
        return _unknown_model(connection, model)
    aliases = sorted(alias for names in store.aliases_of(connection, model).values() for alias in names)
    return NoSuchVersion(
        f"Model {model!r} has no version {str(given)!r}.",
        why=f"It has the versions 1 to {max(numbers)}"
        + (f" and the aliases {', '.join(aliases)}." if aliases else "."),
        fix=suggest(str(given), [*aliases, LATEST]) or f"See: bucle model show {model}",
        at=f"{model}@{given}",
    )
