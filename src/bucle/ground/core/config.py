"""`bucle.toml`: one file a project, one table a room; an unknown key is an error with a near miss."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from bucle.ground.core.errors import ConfigError, NotFound, suggest

__all__ = [
    "Config",
    "ProjectSection",
    "S3Section",
    "Section",
    "ServerSection",
    "StoreSection",
    "load_config",
    "parse_config",
]

ROOMS = (
    "project",
    "store",
    "server",
    "data",
    "pipelines",
    "datums",
    "serving",
    "monitoring",
    "loop",
)
"""The tables a `bucle.toml` may have."""

S = TypeVar("S", bound="Section")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parent of a room's settings: frozen, and strict about its keys."""


class ProjectSection(Section, frozen=True):
    """`[project]`: what the project is called and where its Python lives.

    Attributes:
        name: the project's name.
        modules: Python modules beside `bucle.toml` that hold its views, steps and pipelines.
        purpose: what its models are trained for, e.g. `delay-forecast`; a pipeline may say otherwise.
    """

    name: str
    modules: tuple[str, ...] = ()
    purpose: str = ""


class S3Section(Section, frozen=True):
    """`[store.s3]`: how to reach the bucket. It names environment variables; it never holds a secret.

    Attributes:
        endpoint: the address of a store other than Amazon's, e.g. `http://127.0.0.1:9000`; empty means Amazon's.
        region: the region; empty means `AWS_REGION` or `us-east-1`.
        path_style: whether the bucket stands in the path of an address, as most other stores want it.
        key_env: the variable with the access key. When it is empty, the usual AWS sources are asked: web identity,
            container, instance.
        secret_env: the variable with the secret key.
        token_env: the variable with a session token, if there is one.
        retry_s: seconds during which a failed request is tried again, > 0.
        cache_mb: how much of the bucket is kept on the local disk, > 0.
    """

    endpoint: str = ""
    region: str = ""
    path_style: bool = True
    key_env: str = "AWS_ACCESS_KEY_ID"
    secret_env: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  the name of a variable
    token_env: str = "AWS_SESSION_TOKEN"  # noqa: S105  the name of a variable
    retry_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    cache_mb: Annotated[int, msgspec.Meta(gt=0)] = 10_240


class StoreSection(Section, frozen=True):
    """`[store]`: where state lives.

    Attributes:
        database: an SQLAlchemy URL; empty means SQLite at `.bucle/bucle.db`.
        blobs: `s3://bucket/prefix`; empty means the folder `.bucle/blobs`.
        s3: how to reach the bucket.
    """

    database: str = ""
    blobs: str = ""
    s3: S3Section = S3Section()


class ServerSection(Section, frozen=True):
    """`[server]`: what `bucle up` listens on.

    Attributes:
        host: the address; only this machine unless told otherwise.
        port: the TCP port; 0 lets the system choose.
        webhook_hosts: what webhooks may reach besides the open internet: hosts, `host:port`, addresses or networks,
            e.g. `["hooks.lan", "10.1.0.0/16"]`.
        largest_upload_bytes: of one file that a client sends, an artifact or a commit's; 64 GiB.
    """

    host: str = "127.0.0.1"
    port: int = 4242
    webhook_hosts: tuple[str, ...] = ()
    largest_upload_bytes: Annotated[int, msgspec.Meta(gt=0)] = 64 << 30


class Config:
    """A parsed `bucle.toml`, handed to each room that asks for its own table.

    Args:
        raw: the tables as TOML gave them.
        source: the file's name, for messages.
    """

    def __init__(self, raw: Mapping[str, Any], source: str = "bucle.toml") -> None:
        self._raw = raw
        self._source = source
        for table in raw:
            if table not in ROOMS:
                raise ConfigError(
                    f"{source} has a table [{table}] that Bucle does not know.",
                    why=f"It may have: {', '.join(ROOMS)}.",
                    fix=suggest(table, ROOMS) or f"Remove [{table}].",
                    at=table,
                )

    def section(self, path: str, kind: type[S]) -> S:
        """One table as a record.

        Args:
            path: dotted, e.g. `server` or `loop.flights`; an absent table gives the defaults.
            kind: the record it must fit.
        Raises:
            ConfigError: an unknown key, a missing one, or a value of the wrong type.
        """
        value: Any = self._raw
        for part in path.split("."):
            value = value.get(part, {}) if isinstance(value, Mapping) else value
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise _explain(error, path, kind, self._source) from error

    def given(self, path: str = "") -> dict[str, Any]:
        """What the file says under a dotted path, as TOML gave it; nothing where it has no such table."""
        value: Any = self._raw
        for part in path.split(".") if path else ():
            value = value.get(part, {}) if isinstance(value, Mapping) else {}
        return dict(value) if isinstance(value, Mapping) else {}

    def names(self, table: str) -> tuple[str, ...]:
        """The sub-tables of a table, e.g. the models that have a `[loop.NAME]`."""
        value = self._raw.get(table, {})
        return tuple(value) if isinstance(value, Mapping) else ()


def load_config(path: Path) -> Config:
    """Read and check a `bucle.toml`.

    Raises:
        NotFound: there is no such file.
        ConfigError: it is no UTF-8, no TOML, or has an unknown table.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no {path.name} in {path.parent}.",
            why="A project is a folder with a bucle.toml.",
            fix="Run `bucle init` here, or name the project with --project DIR.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.name} is not UTF-8 text: {error.reason} at byte {error.start}.",
            why="TOML is UTF-8.",
            fix="Save the file with the encoding UTF-8.",
            at=path.name,
        ) from error
    return parse_config(text, path.name)


def parse_config(text: str, source: str = "bucle.toml") -> Config:
    """The configuration in a TOML text.

    Raises:
        ConfigError: it is no TOML, or has an unknown table.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}.", fix="Mend that line.", at=source) from error
    config = Config(raw, source)
    config.section("project", ProjectSection)
    config.section("store.s3", S3Section)
    config.section("store", StoreSection)
    config.section("server", ServerSection)
    return config


def _explain(error: msgspec.ValidationError, path: str, kind: type[Section], source: str) -> ConfigError:
    message = str(error)
    where = re.search(r"at `\$\.?([^`]*)`", message)
    at = ".".join(part for part in (path, where.group(1) if where else "") if part)
    unknown = re.search(r"unknown field `([^`]+)`", message)
    if unknown is None:
        return ConfigError(f"{source}, [{path}]: {message}.", why=_allowed(kind), fix="Mend that value.", at=at)
    given = unknown.group(1)
    return ConfigError(
        f"{source}, [{path}]: there is no setting {given!r}.",
        why=_allowed(kind),
        fix=suggest(given, kind.__struct_fields__) or f"Remove {given!r}.",
        at=f"{path}.{given}",
    )


def _allowed(kind: type[Section]) -> str:
    return f"It may have: {', '.join(kind.__struct_fields__)}."
