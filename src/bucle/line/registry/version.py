"""ModelVersion: what is registered under a model's name, numbered for ever: where it came from, how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, decode, suggest
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.errors import NoSuchModel, NoSuchVersion
from bucle.line.registry.name import LATEST, model_ref
from bucle.line.registry.stage import Stage

__all__ = [
    "Kind",
    "ModelVersion",
    "Status",
    "latest_versions",
    "read_version",
    "read_versions",
    "unknown_model",
    "unknown_version",
    "version",
    "versions",
]

Kind = Literal["package", "files", "prompt", "reference"]
"""What a version is: an ONNX package, the files of a run or logged model, a prompt's text, or a model elsewhere."""

Status = Literal["READY", "PENDING", "FAILED"]


class ModelVersion(Record, frozen=True):
    """One version of a model.

    Attributes:
        model: the model's name.
        version: 1, 2, 3, …; never given twice.
        digest: of its content: the package, the tree of files, the prompt's text, or the description of the reference.
        stage: `registered`, `validated`, `production`, `archived` or `rejected`.
        run: id of the run that made it, or empty.
        execution: id of the pipeline execution that made it, or empty.
        commit: id of the data commit it was trained on, or empty.
        author: who registered it; cannot approve it.
        created_at: when it was registered.
        updated_at: when its stage or its description changed last.
        metrics: what it scored offline.
        description: for people.
        aliases: `champion`, `challenger`, …, sorted.
        kind: what its content is; only a `package` can be served here.
        source: the address it was registered from, as its client wrote it.
        run_link: where the run can be looked at, as its client wrote it.
        model_id: id of the logged model it was registered from, or empty.
        status: `READY`, `PENDING` or `FAILED`.
        status_message: why it is not ready.
        successor: what to use instead of it once it is retired, e.g. `flights@4`.
        tags: key -> value.
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
    updated_at: datetime
    metrics: dict[str, float]
    description: str = ""
    aliases: tuple[str, ...] = ()
    kind: Kind = "package"
    source: str = ""
    run_link: str = ""
    model_id: str = ""
    status: Status = "READY"
    status_message: str = ""
    successor: str = ""
    tags: dict[str, str] = {}

    @property
    def ref(self) -> str:
        """What it is called on the ledger, e.g. `model/flights@3`."""
        return model_ref(self.model, self.version)


def version(project: Project, model: str, version_or_alias: int | str = LATEST) -> ModelVersion:
    """One version, by number, alias or `latest`.

    Raises:
        NoSuchModel: no model has this name.
        NoSuchVersion: it has no such version or alias.
    """
    with project.database.reading() as connection:
        return read_version(connection, model, version_or_alias)


def versions(project: Project, model: str | None = None) -> list[ModelVersion]:
    """Every version of a model, or of all models, oldest first.

    Raises:
        NoSuchModel: no model has this name.
    """
    with project.database.reading() as connection:
        if model is not None and store.model_row(connection, model) is None:
            raise unknown_model(connection, model)
        rows = store.rows_of_model(connection, model)
        aliases = store.aliases_of(connection, model)
        tags = store.tags_of_versions(connection, None if model is None else _keys(rows))
    return [_version_of(row, aliases, tags) for row in rows]


def latest_versions(project: Project, models: Sequence[str]) -> dict[str, list[ModelVersion]]:
    """The newest version of each stage that some models have versions in, by model, oldest first."""
    found: dict[str, list[ModelVersion]] = {model: [] for model in models}
    with project.database.reading() as connection:
        for one in read_versions(connection, store.latest_of_stages(connection, models)):
            found[one.model].append(one)
    return found


def read_version(connection: Connection, model: str, version_or_alias: int | str) -> ModelVersion:
    """One version, on a connection that is open. Raises: NoSuchModel, NoSuchVersion."""
    number = _number(connection, model, version_or_alias)
    row = store.version_row(connection, model, number) if number is not None else None
    if row is None or number is None:
        raise unknown_version(connection, model, version_or_alias)
    key = (model, number)
    aliases = {key: store.aliases_of_version(connection, model, number)}
    return _version_of(row, aliases, {key: store.version_tags(connection, model, number)})


def read_versions(connection: Connection, rows: list[dict[str, Any]]) -> list[ModelVersion]:
    """The versions that rows hold, with their aliases and tags, in the rows' order."""
    keys = _keys(rows)
    aliases, tags = store.aliases_of_versions(connection, keys), store.tags_of_versions(connection, keys)
    return [_version_of(row, aliases, tags) for row in rows]


def unknown_model(connection: Connection, model: str) -> NoSuchModel:
    """There is no model of this name; with the near miss."""
    names = store.model_names(connection)
    return NoSuchModel(
        f"There is no model {model!r}.",
        why=f"Models here: {', '.join(names[:8])}." if names else "No model was registered yet.",
        fix=suggest(model, names) or "See: bucle model list",
        at=model,
    )


def unknown_version(connection: Connection, model: str, given: int | str) -> NoSuchModel | NoSuchVersion:
    """The model has no such version or alias, or is none itself; with the near miss."""
    if store.model_row(connection, model) is None:
        return unknown_model(connection, model)
    greatest, aliases = store.greatest_version(connection, model), store.alias_names(connection, model)
    numbers = f"Its greatest version is {greatest}" if greatest else "It has no version yet"
    return NoSuchVersion(
        f"Model {model!r} has no version {str(given)!r}.",
        why=numbers + (f"; aliases: {', '.join(aliases)}." if aliases else "."),
        fix=suggest(str(given), [*aliases, LATEST]) or f"See: bucle model versions {model}",
        at=f"{model}@{given}",
    )


def _number(connection: Connection, model: str, given: int | str) -> int | None:
    if isinstance(given, int):
        return given if 0 < given < 2**31 else None
    if given.isdecimal():
        return _number(connection, model, int(given))
    if given.lower() == LATEST:
        return store.greatest_version(connection, model)
    return store.alias_target(connection, model, given)


def _keys(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(row["model"], row["version"]) for row in rows]


def _version_of(
    row: Mapping[str, Any],
    aliases: Mapping[tuple[str, int], tuple[str, ...]],
    tags: Mapping[tuple[str, int], dict[str, str]],
) -> ModelVersion:
    key = (row["model"], row["version"])
    metrics = decode(row["metrics"], dict[str, float | None], what="model version")
    return ModelVersion(
        **{
            **row,
            "metrics": {name: float("nan") if value is None else value for name, value in metrics.items()},
            "aliases": aliases.get(key, ()),
            "tags": tags.get(key, {}),
        }
    )
