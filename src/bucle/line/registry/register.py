"""Registering: something gets the next number of a model, bound to the digest of its content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sqlalchemy.engine import Connection

from bucle.ground.core import check_name, decode, encode, make_ref, short
from bucle.ground.ledger import AlreadyDone, Event, Transaction
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
        run, execution: ids of what it came from, without `run/` and the like.
        commit: of the data it came from: its id, or anything else that stands for it, e.g. `main`.
        author: the project's actor unless given.
    Returns:
        The new version; the one there is when `key` was used before or the model has this very package.
    Raises:
        BadName: the model's name does not fit in a ref.
        NoSuchPackage: the package is not in this project.
        NoSuchCommit, AmbiguousCommit, CommitExpired: no commit answers to `commit`.
        PurposeRefused: what it was made of may not be used for what it was.
    """
    check_name(model, "model")
    content = package_content(package if isinstance(package, Package) else load_package(project, package))
    given = {"run": run, "execution": execution, "commit": _commit(project, commit), "description": description}
    row = _row(project, model, author or project.actor, given, metrics or {})
    return _insert(project, _Entry(row, content, once=True, make=True), reason=reason, key=key)


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
    given = {"run": run, "source": source, "run_link": run_link, "model_id": model_id, "description": description}
    row = _row(project, check_model_name(model), author or project.actor, given, metrics or {})
    return _insert(project, _Entry(row, content, check_tags(tags or {})), reason=reason, key=key)


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
    given = {"source": "prompt-template", "description": description}
    row = _row(project, check_model_name(model), author or project.actor, given, {})
    return _insert(project, _Entry(row, prompt_content(text), marked, make=True), reason=reason, key=key)


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
    given = {"source": f"{reference.provider}:{reference.id}", "description": description}
    row = _row(project, check_model_name(model), author or project.actor, given, {})
    entry = _Entry(row, reference_content(project, reference), check_tags(tags or {}), make=True)
    return _insert(project, entry, reason=reason, key=key)


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
    given = {name: getattr(origin, name) for name in _GIVEN}
    row = _row(project, check_model_name(model), origin.author, given, origin.metrics)
    spoken = {"copied_from": dict(told), "copied_by": actor}
    entry = _Entry(row, content, origin.tags, once=True, make=True, told=spoken)
    return _insert(project, entry, reason=reason, key=None, actor=actor)


_ORIGINS = (
    ("run", "run", "produced"),
    ("model_id", "logged-model", "produced"),
    ("execution", "execution", "produced"),
    ("commit", "commit", "trained_on"),
)
"""What a version comes from: the row's column, the noun of its ref, the kind of its edge."""

_GIVEN = ("run", "execution", "commit", "source", "run_link", "model_id", "description")


@dataclass(frozen=True)
class _Entry:
    """What is to get the next number.

    Attributes:
        row: of the version, without its number and its content.
        once: the same content is not numbered twice.
        make: the model is made when it is not there.
        told: what the event says besides.
    """

    row: Row
    content: Content
    tags: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    make: bool = False
    told: Row = field(default_factory=dict)

    @property
    def model(self) -> str:
        return str(self.row["model"])


def _row(project: Project, model: str, author: str, given: Mapping[str, str], metrics: Mapping[str, float]) -> Row:
    """A version's row without number and content. Raises: BadText: a text of it cannot be kept."""
    for name, text in {**given, "author": author}.items():
        check_text(text, name, LONGEST_DESCRIPTION if name == "description" else LONGEST_SOURCE)
    now, scores = project.clock.now(), {name: float(value) for name, value in metrics.items()}
    return {
        **dict.fromkeys((*_GIVEN, "successor", "status_message"), ""),
        **given,
        "model": model,
        "author": author,
        "metrics": encode(scores).decode(),
        "stage": "registered",
        "status": "READY",
        "created_at": now,
        "updated_at": now,
    }


class _Overtaken(Exception):
    """Another process wrote first; look again."""


def _insert(project: Project, entry: _Entry, *, reason: str, key: str | None, actor: str = "") -> ModelVersion:
    """Write a version under the number that is next by then; who wrote the same before, or under this key, wins."""
    row, model = entry.row, entry.model
    spoken = {
        **entry.told,
        "description": tell(project, row["description"]),
        "tags": tell_tags(project, entry.tags),
    }
    while True:
        existing = _existing(project, entry, key)
        if existing is not None:
            return version(project, model, existing)
        _check_origin(project, row)
        number = _next(project, model)
        try:
            with project.ledger.transaction(
                "registry.version_registered",
                subject=model_ref(model, number),
                actor=actor or row["author"],
                reason=reason,
                key=key,
                data=spoken,
            ) as tx:
                if store.next_version(tx.connection, model) != number or _twin(tx.connection, entry):
                    raise _Overtaken
                _write(project, tx, entry, number)
        except (_Overtaken, AlreadyDone):
            continue
        return version(project, model, number)


def _existing(project: Project, entry: _Entry, key: str | None) -> int | None:
    """The version that was registered under this key, or that has this content, if it is to be there once.

    Raises:
        AlreadyDone: the key was used for something else.
    """
    event = project.ledger.find(key) if key is not None else None
    if event is not None:
        return _keyed(event, entry.model)
    with project.database.reading() as connection:
        twin = _twin(connection, entry)
    if twin is not None:
        _log.warning("model %s has %s already, as version %s", entry.model, short(entry.content.digest), twin)
    return twin


def _keyed(event: Event, model: str) -> int:
    name, number = model_of(event.subject) if event.kind == "registry.version_registered" else ("", None)
    if number is None or name != model:
        raise AlreadyDone(
            f"The key {event.key!r} was used for {event.kind} of {event.subject}.",
            why="A key stands for one thing done; this would be another.",
            fix="Choose another key.",
        )
    return number


def _twin(connection: Connection, entry: _Entry) -> int | None:
    """The version that has this very content, when it is not to be numbered twice."""
    if not entry.once:
        return None
    row = store.row_of_digest(connection, entry.model, entry.content.kind, entry.content.digest)
    return None if row is None else int(row["version"])


def _write(project: Project, tx: Transaction, entry: _Entry, number: int) -> None:
    model, content = entry.model, entry.content
    row = {**entry.row, "kind": content.kind, "digest": content.digest, "version": number}
    prompt = content.kind == "prompt"
    made = entry.make and ensure_model(project, tx, model, owner=row["author"], prompt=prompt)
    if store.model_row(tx.connection, model) is None:
        raise unknown_model(tx.connection, model)
    tx.insert(VERSIONS, row)
    tx.put(NUMBERS, {"model": model, "last": number})
    for key, value in entry.tags.items():
        tx.insert(VERSION_TAGS, {"model": model, "version": number, **store.tag_row(key, value)})
    if not made:
        tx.update(MODELS, {"name": model}, {"updated_at": row["updated_at"]})
    _note_origin(tx, model_ref(model, number), row, content)
    tx.data.update({"made_model": made, "prompt": prompt})


def _note_origin(tx: Transaction, ref: str, row: Row, content: Content) -> None:
    for source, target, kind in content.edges:
        tx.edge(source, target or ref, kind)
    for name, noun, kind in _ORIGINS:
        if row[name]:
            tx.edge(make_ref(noun, row[name]), ref, kind)
    names = ("kind", "digest", "run", "execution", "commit", "source", "model_id")
    tx.data.update({name: row[name] for name in names})
    tx.data["metrics"] = decode(row["metrics"], dict[str, float | None])


def _commit(project: Project, at: str) -> str:
    """The whole id of the commit that somebody named; '' when nobody did."""
    return _data().resolve(project, check_text(at, "commit", LONGEST_SOURCE)).id if at else ""


def _check_origin(project: Project, row: Row) -> None:
    """Whether what a version comes from may be used for it. Raises: data.PurposeRefused."""
    refs = [make_ref(noun, row[name]) for name, noun, _ in _ORIGINS if row[name]]
    if refs:
        _data().check_made_of(project, refs)


def _data() -> ModuleType:
    # Polars takes a while to load; who only reads the registry never needs it.
    from bucle.line import data  # noqa: PLC0415

    return data


def _next(project: Project, model: str) -> int:
    with project.database.reading() as connection:
        return store.next_version(connection, model)
