"""Registering: something gets the next number of a model, bound to the digest of its content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bucle.ground.core import check_name, decode, encode, make_ref
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.content import Content, package_content, prompt_content, reference_content
from bucle.line.registry.model import LONGEST_DESCRIPTION, ensure_model
from bucle.line.registry.name import check_model_name, check_text, model_of, model_ref
from bucle.line.registry.package import Package, load_package
from bucle.line.registry.reference import Reference
from bucle.line.registry.tables import MODELS, NUMBERS, VERSION_TAGS, VERSIONS
from bucle.line.registry.tag import IS_PROMPT, PROMPT_TEXT, check_tags, tell, tell_tags
from bucle.line.registry.version import ModelVersion, unknown_model, version

__all__ = ["LONGEST_SOURCE", "copy_into", "create_version", "register", "register_prompt", "register_reference"]

LONGEST_SOURCE = 4000

_log = logging.getLogger("bucle.registry")

Row = dict[str, Any]


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

    A model that is not there yet is made, the author being its owner.

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
    content = package_content(made)
    existing = _find_registered(project, model, content, key)
    if existing is not None:
        _log.warning("model %s has package %s already, as version %s", model, made.digest[:12], existing)
        return version(project, model, existing)
    given = {"run": run, "execution": execution, "commit": commit, "description": description}
    scores = {name: float(value) for name, value in (metrics or {}).items()}
    row = _row(project, model, author or project.actor, {**given, "metrics": encode(scores).decode()})
    return _insert(project, row, content, {}, once=True, make=True, told={}, reason=reason, key=key)


def create_version(
    project: Project,
    model: str,
    content: Content,
    *,
    run: str = "",
    source: str = "",
    run_link: str = "",
    model_id: str = "",
    tags: Mapping[str, str] | None = None,
    description: str = "",
    metrics: Mapping[str, float] | None = None,
    author: str = "",
    reason: str = "",
    key: str | None = None,
) -> ModelVersion:
    """Give any content the next number of a model that is there, also when the model has this very content.

    Args:
        content: see `content.py`.
        source: the address it was registered from, for its clients.
        author: the project's actor unless given.
    Raises:
        NoSuchModel: no model has this name.
        BadText, BadTag: a text or tag cannot be kept.
    """
    return _create(
        project,
        check_model_name(model),
        content,
        {"run": run, "source": source, "run_link": run_link, "model_id": model_id, "description": description},
        check_tags(tags or {}),
        metrics=metrics or {},
        author=author,
        reason=reason,
        key=key,
        make=False,
    )


def register_prompt(
    project: Project,
    model: str,
    text: str,
    *,
    tags: Mapping[str, str] | None = None,
    description: str = "",
    author: str = "",
    reason: str = "",
    key: str | None = None,
) -> ModelVersion:
    """Give a prompt's text the next number of a prompt, which is made when it is not there yet.

    Raises:
        BadModelName, BadText, BadTag: the name, the text or a tag cannot be kept.
    """
    marked = check_tags({**(tags or {}), IS_PROMPT: "true", PROMPT_TEXT: text})
    return _create(
        project,
        check_model_name(model),
        prompt_content(text),
        {"source": "prompt-template", "description": description},
        marked,
        metrics={},
        author=author,
        reason=reason,
        key=key,
        make=True,
    )


def register_reference(
    project: Project,
    model: str,
    reference: Reference,
    *,
    tags: Mapping[str, str] | None = None,
    description: str = "",
    author: str = "",
    reason: str = "",
    key: str | None = None,
) -> ModelVersion:
    """Give a model that lives elsewhere the next number of a model, which is made when it is not there yet.

    Raises:
        BadModelName, BadText, BadTag: the name, a text or a tag cannot be kept.
    """
    return _create(
        project,
        check_model_name(model),
        reference_content(project, reference),
        {"source": f"{reference.provider}:{reference.id}", "description": description},
        check_tags(tags or {}),
        metrics={},
        author=author,
        reason=reason,
        key=key,
        make=True,
    )


def _create(
    project: Project,
    model: str,
    content: Content,
    given: Mapping[str, str],
    tags: Mapping[str, str],
    *,
    metrics: Mapping[str, float],
    author: str,
    reason: str,
    key: str | None,
    make: bool,
) -> ModelVersion:
    check_text(given.get("description", ""), "description", LONGEST_DESCRIPTION)
    for field in ("run", "source", "run_link", "model_id"):
        check_text(given.get(field, ""), field, LONGEST_SOURCE)
    scores = encode({name: float(value) for name, value in metrics.items()}).decode()
    row = _row(project, model, author or project.actor, {**given, "metrics": scores})
    return _insert(project, row, content, tags, once=False, make=make, told={}, reason=reason, key=key)


def copy_into(
    project: Project,
    model: str,
    origin: ModelVersion,
    content: Content,
    *,
    actor: str,
    told: Mapping[str, str],
    reason: str,
) -> ModelVersion:
    """Give a copy of a version the next number of a model, made when it is not there; the same copy is one version.

    Args:
        origin: of this or another project; its author stays the author.
        told: where it came from, for the event.
    """
    names = ("run", "execution", "commit", "source", "run_link", "model_id", "description")
    scores = encode(origin.metrics).decode()
    given = {name: getattr(origin, name) for name in names}
    row = _row(project, check_model_name(model), origin.author, {**given, "metrics": scores})
    spoken = {"copied_from": dict(told), "copied_by": actor}
    return _insert(
        project, row, content, origin.tags, once=True, make=True, told=spoken, reason=reason, key=None, actor=actor
    )


def _row(project: Project, model: str, author: str, given: Mapping[str, str]) -> Row:
    now = project.clock.now()
    empty = dict.fromkeys(
        ("run", "execution", "commit", "source", "run_link", "model_id", "description", "successor", "status_message"),
        "",
    )
    row = {**empty, **given, "model": model, "author": author, "stage": "registered", "status": "READY"}
    return {**row, "created_at": now, "updated_at": now}


def _find_registered(project: Project, model: str, content: Content | None, key: str | None) -> int | None:
    event = project.ledger.find(key) if key is not None else None
    if event is not None:
        return model_of(event.subject)[1]
    if content is None:
        return None
    with project.database.reading() as connection:
        row = store.row_of_digest(connection, model, content.kind, content.digest)
    return None if row is None else int(row["version"])


class _Overtaken(Exception):
    """Another process wrote first; look again."""


def _insert(
    project: Project,
    row: Row,
    content: Content,
    tags: Mapping[str, str],
    *,
    once: bool,
    make: bool,
    told: Row,
    reason: str,
    key: str | None,
    actor: str = "",
) -> ModelVersion:
    """Write a version under the number that is next by then; with `once`, a rival that wrote the same first wins."""
    twin = content if once else None
    model, filled = row["model"], {**row, "kind": content.kind, "digest": content.digest}
    spoken = {**told, "description": tell(project, row["description"]), "tags": tell_tags(project, tags)}
    number = _next(project, model)
    while True:
        try:
            with project.ledger.transaction(
                "registry.version_registered",
                subject=model_ref(model, number),
                actor=actor or row["author"],
                reason=reason,
                key=key,
                data=spoken,
            ) as tx:
                if store.next_version(tx.connection, model) != number or (
                    twin and store.row_of_digest(tx.connection, model, twin.kind, twin.digest)
                ):
                    raise _Overtaken
                _write(project, tx, {**filled, "version": number}, content, tags, make=make)
        except (_Overtaken, AlreadyDone):
            existing = _find_registered(project, model, twin, key)
            if existing is not None:
                return version(project, model, existing)
            number = _next(project, model)
        else:
            return version(project, model, number)


def _write(
    project: Project, tx: Transaction, row: Row, content: Content, tags: Mapping[str, str], *, make: bool
) -> None:
    model, number = row["model"], row["version"]
    prompt = content.kind == "prompt"
    made = make and ensure_model(project, tx, model, owner=row["author"], prompt=prompt)
    known = store.model_row(tx.connection, model)
    if known is None:
        raise unknown_model(tx.connection, model)
    tx.insert(VERSIONS, row)
    tx.put(NUMBERS, {"model": model, "last": number})
    for key, value in tags.items():
        tx.insert(VERSION_TAGS, {"model": model, "version": number, **store.tag_row(key, value)})
    if not made:
        tx.update(MODELS, {"name": model}, {"updated_at": row["updated_at"]})
    _note_origin(tx, model_ref(model, number), row, content)
    tx.data.update({"made_model": made, "prompt": prompt})


def _note_origin(tx: Transaction, ref: str, row: Row, content: Content) -> None:
    for source, target, kind in content.edges:
        tx.edge(source, target or ref, kind)
    for field, noun, kind in (
        ("run", "run", "produced"),
        ("model_id", "logged-model", "produced"),
        ("execution", "execution", "produced"),
        ("commit", "commit", "trained_on"),
    ):
        if row[field]:
            tx.edge(make_ref(noun, row[field]), ref, kind)
    names = ("kind", "digest", "run", "execution", "commit", "source", "model_id")
    tx.data.update({name: row[name] for name in names})
    tx.data["metrics"] = decode(row["metrics"], dict[str, float | None])


def _next(project: Project, model: str) -> int:
    with project.database.reading() as connection:
        return store.next_version(connection, model)
