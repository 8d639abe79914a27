"""Source: where a table's rows come from, kept as YAML that people review."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from bucle.ground.core import Record, check_name, suggest, to_builtins
from bucle.ground.project import Project
from bucle.ground.store import write_atomically
from bucle.line.sources.errors import NoSuchConnection, NoSuchSource, SecretMissing, SourceInvalid

__all__ = [
    "Connection",
    "Source",
    "connections_of",
    "filled",
    "load_connection",
    "load_source",
    "save_source",
    "source_path",
    "sources_of",
]

Kind = Literal["csv", "jsonl", "parquet", "excel", "folder", "s3", "http", "sql", "stream", "delta"]
Format = Literal["", "csv", "jsonl", "json", "parquet", "excel"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

R = TypeVar("R", bound=Record)


class Source(Record, frozen=True, forbid_unknown_fields=True):
    """Where a table's rows come from.

    `${NAME}` in `location`, `query` and `headers` stands for an environment variable: a secret is never in the file.

    Attributes:
        name: as its file is called.
        kind: what is read: files of one format, a folder of them, objects of a bucket, an address, a database, a file
            of lines that grows, a Delta table.
        table: where the rows go.
        location: a path (relative to the project, `*` for many), `s3://bucket/prefix`, or an address. For `stream` it
            may be empty: then it takes what is pushed to it. For `http`, `{cursor}` in it is the last value landed.
        sync: `full`: the table is what the source gives now; `incremental`: what is new is added.
        format: of files; '' tells it by their names.
        connection: for `sql`: the name of a file in `connections/`.
        query: for `sql`: what is asked, or the name of a table.
        cursor: for `sql` and `http`, incremental: a column that only grows; rows with a greater value are new.
        start: the value of the cursor before the first run.
        branch: where rows become visible.
        pattern: for `folder` and `s3`: which names are read.
        headers: for `http`.
        options: for reading: `separator` and `schema` (name -> type) of CSV, `sheet` of Excel, `endpoint` and
            `region` of a bucket.
        settle_s: files that changed in the last so many seconds are left for later: they may still be written.
        largest_bytes: what a file or an answer may have.
    """

    name: str
    kind: Kind
    table: str
    location: str = ""
    sync: Literal["full", "incremental"] = "full"
    format: Format = ""
    connection: str = ""
    query: str = ""
    cursor: str = ""
    start: str | int | float | None = None
    branch: str = "main"
    pattern: str = "*"
    headers: dict[str, str] = {}
    options: dict[str, Any] = {}
    settle_s: float = 1.0
    largest_bytes: int = 64 << 30


class Connection(Record, frozen=True, forbid_unknown_fields=True):
    """A database that sources and queries read from, or a bucket of Parquet files that queries do.

    Attributes:
        name: as its file is called.
        kind: which driver speaks to it.
        uri: where it is, e.g. `postgresql://reader:${SHOP_PASSWORD}@db/shop`, a file of SQLite, or `s3://bucket/prefix`.
        options: of `s3`: `endpoint` and `region`, unless they are those of `[store.s3]`.
    """

    name: str
    kind: Literal["postgresql", "sqlite", "s3"]
    uri: str
    options: dict[str, str] = {}


def source_path(project: Project, name: str) -> Path:
    """Where a source is kept: `sources/NAME.yaml` beside `bucle.toml`."""
    return project.root / "sources" / f"{check_name(name, 'source name')}.yaml"


def sources_of(project: Project) -> dict[str, Source]:
    """Name -> source of every file in `sources/`.

    Raises:
        SourceInvalid: one cannot be understood.
    """
    return {path.stem: _load(path, Source) for path in sorted((project.root / "sources").glob("*.yaml"))}


def load_source(project: Project, name: str) -> Source:
    """One source.

    Raises:
        NoSuchSource: there is none of that name.
        SourceInvalid: it cannot be understood.
    """
    path = source_path(project, name)
    if not path.is_file():
        known = sorted(one.stem for one in path.parent.glob("*.yaml"))
        raise NoSuchSource(
            f"There is no source {name!r}.",
            why=f"There are: {', '.join(known) or 'none'}.",
            fix=suggest(name, known)
            or f"Make it: bucle sources add {name} --kind csv --location data.csv --table TABLE",
            at=name,
        )
    return _load(path, Source)


def save_source(project: Project, source: Source) -> Path:
    """Write a source as YAML, leaving out what is as by default; its path.

    Raises:
        SourceInvalid: it lacks something that its kind needs.
    """
    path = source_path(project, source.name)
    _check(source, path.name)
    defaults = {one.name: one.default for one in msgspec.structs.fields(Source)}
    raw = {key: value for key, value in to_builtins(source).items() if value != defaults[key]}
    raw.pop("name")
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, yaml.safe_dump(raw, sort_keys=False, allow_unicode=True).encode())
    return path


def connections_of(project: Project) -> list[str]:
    """The names of all connections."""
    return sorted(path.stem for path in (project.root / "connections").glob("*.yaml"))


def load_connection(project: Project, name: str) -> Connection:
    """One connection.

    Raises:
        NoSuchConnection: there is none of that name.
        SourceInvalid: it cannot be understood.
    """
    path = project.root / "connections" / f"{check_name(name, 'connection name')}.yaml"
    if not path.is_file():
        known = connections_of(project)
        raise NoSuchConnection(
            f"There is no connection {name!r}.",
            why=f"There are: {', '.join(known) or 'none'}.",
            fix=suggest(name, known) or f"Write connections/{name}.yaml with `kind:` and `uri:`.",
            at=name,
        )
    return _load(path, Connection)


def filled(text: str) -> str:
    """The text with the values of the environment variables it names; to be used at once and never shown.

    Raises:
        SecretMissing: one is not set.
    """
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise SecretMissing(
                f"The environment variable {name} is not set.",
                why="A source or connection needs it.",
                fix=f"Set it where this runs: export {name}=…",
                at=name,
            )
    return _VARIABLE.sub(lambda found: os.environ[found[1]], text)


def _load(path: Path, kind: type[R]) -> R:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _invalid(path.name, f"it is no YAML: {str(error).splitlines()[0]}", "Mend the file.") from error
    if not isinstance(raw, Mapping):
        raise _invalid(path.name, "it holds no settings", "Start it with `kind:`.")
    for key in raw:
        if key not in kind.__struct_fields__:
            raise _invalid(path.name, f"there is no setting {key!r}", suggest(str(key), kind.__struct_fields__))
    try:
        plain = {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in raw.items()}
        made = msgspec.convert({**plain, "name": path.stem}, kind)
    except msgspec.ValidationError as error:
        raise _invalid(path.name, str(error), "Mend that value.") from error
    if isinstance(made, Source):
        _check(made, path.name)
    return made


def _check(source: Source, where: str) -> None:
    check_name(source.table, "table name")
    if source.kind == "sql" and not (source.connection and source.query):
        raise _invalid(where, "kind sql needs `connection` and `query`", "Add them.")
    if source.kind not in ("sql", "stream") and not source.location:
        raise _invalid(where, f"kind {source.kind} needs `location`", "Say where it is.")
    if source.kind in ("sql", "http") and source.sync == "incremental" and not source.cursor:
        raise _invalid(where, "an incremental source of this kind needs `cursor`", "Name a column that only grows.")
    if source.kind == "stream" and source.sync != "incremental":
        raise _invalid(where, "a stream has no end", "Write `sync: incremental`.")
    if source.kind == "http" and not source.location.startswith(("http://", "https://")):
        raise _invalid(where, "the address is neither http nor https", "Write https://…")
    if source.kind == "s3" and not source.location.startswith("s3://"):
        raise _invalid(where, "the location is no bucket", "Write s3://bucket/prefix")


def _invalid(source: str, what: str, fix: str) -> SourceInvalid:
    return SourceInvalid(
        f"{source}: {what}.", why="What is not understood cannot be read.", fix=fix or "Remove it.", at=source
    )
