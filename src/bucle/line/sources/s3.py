"""Objects of a bucket, read as files; what is new is told by their etags. And tables that lie there, for queries."""

from __future__ import annotations

import fnmatch
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from bucle.ground.core import ConfigError, S3Section, StoreSection
from bucle.ground.project import Project
from bucle.line.sources.errors import SourceFailed
from bucle.line.sources.files import pull_listed
from bucle.line.sources.pulled import Desk, Pulled, failed
from bucle.line.sources.source import Connection, Source, filled

__all__ = ["pull_s3", "read_objects"]


def pull_s3(desk: Desk) -> Pulled | None:
    """The rows of a bucket's objects; errors as for files.

    The bucket is reached as `[store.s3]` says, unless `options` names an `endpoint` or `region`.
    """
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    source = desk.source
    store = _connect(desk.project, source.location, source.options)
    listed, etags = dict[str, list[Any]](), dict[str, str]()
    try:
        for page in obstore.list(store):
            for found in page:
                name = str(found["path"])
                if fnmatch.fnmatch(name, source.pattern) and not name.rpartition("/")[2].startswith("."):
                    etags[name] = str(found.get("e_tag") or found["last_modified"])
                    listed[name] = [found["size"], etags[name]]
    except BaseError as error:
        raise _unreachable(source, error) from error

    def fetch(name: str, target: Path) -> Path:
        try:
            # As it was listed or not at all.
            got = obstore.get(store, name, options={"if_match": etags[name]})
            with target.open("wb") as file:
                for piece in got.stream(min_chunk_size=8 << 20):
                    file.write(piece)
        except BaseError as error:
            raise _unreachable(source, error) from error
        return target

    return pull_listed(desk, dict(sorted(listed.items())), fetch, lambda _: True)


def read_objects(
    project: Project, connection: Connection, levels: Sequence[str], columns: frozenset[str] | None
) -> Iterator[pl.DataFrame]:
    """The rows of a table below a connection's bucket: `a/b.parquet`, or every Parquet file below `a/b/`, by name.

    Args:
        levels: the parts of the table's name: `("a", "b")`.
        columns: those asked for, in small letters; None for all of them.
    Raises:
        SourceFailed: there is none, or it cannot be read.
    Cost: the columns that are asked for, batch by batch.
    """
    import obstore  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    where = "/".join(levels)
    if any("/" in level or level in ("", ".", "..") for level in levels):
        raise _no_objects(connection, where)
    store = _connect(project, filled(connection.uri), connection.options)
    try:
        names = [*_one(store, f"{where}.parquet"), *_below(store, f"{where}/")]
        for name in names:
            file = pq.ParquetFile(_Reader(obstore.open_reader(store, name)))
            wanted = [one for one in file.schema_arrow.names if columns is None or one.lower() in columns]
            schema = [file.schema_arrow.field(one) for one in wanted or file.schema_arrow.names[:1]]
            yield cast(pl.DataFrame, pl.from_arrow(pa.schema(schema).empty_table()))
            for batch in file.iter_batches(columns=[field.name for field in schema]):
                yield cast(pl.DataFrame, pl.from_arrow(batch))
    except (BaseError, OSError, pa.ArrowException) as error:
        raise _failed(connection, (str(error).strip().splitlines() or [type(error).__name__])[0][:200]) from error
    if not names:
        raise _no_objects(connection, where)


class _Reader(io.RawIOBase):
    """An object, read here and there, as Python has files: it can say that it is not closed."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._opened.seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened.tell())

    def read(self, size: int = -1) -> bytes:
        return bytes(self._opened.read(size) if size >= 0 else self._opened.readall())


def _one(store: Any, name: str) -> list[str]:
    import obstore  # noqa: PLC0415
    from obstore.exceptions import NotFoundError  # noqa: PLC0415

    try:
        return [str(obstore.head(store, name)["path"])]
    except (NotFoundError, FileNotFoundError):
        return []


def _below(store: Any, folder: str) -> list[str]:
    import obstore  # noqa: PLC0415

    found = [str(one["path"]) for page in obstore.list(store, prefix=folder) for one in page]
    return sorted(name for name in found if name.endswith(".parquet"))


def _no_objects(connection: Connection, where: str) -> SourceFailed:
    return _failed(connection, f"there is no {where[:200]}.parquet, and no Parquet file below {where[:200]}/")


def _failed(connection: Connection, what: str) -> SourceFailed:
    return SourceFailed(
        f"The bucket of connection {connection.name!r} fails: {what.rstrip('.')}.",
        why="Nothing of it was taken.",
        fix=f"Look at connections/{connection.name}.yaml and at the table's name.",
        at=connection.name,
    )


def _connect(project: Project, location: str, options: Mapping[str, Any]) -> Any:
    try:
        from obstore.store import S3Store  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "Buckets are read with obstore, which is not installed.",
            why="It is an extra.",
            fix="pip install 'bucle[s3]'",
        ) from error
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    settings = project.config.section("store", StoreSection).s3
    endpoint = str(options.get("endpoint", "")) or settings.endpoint
    region = str(options.get("region", "")) or settings.region or os.environ.get("AWS_REGION", "us-east-1")
    given = {**_keys(settings), "endpoint": endpoint, "region": region}
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        virtual_hosted_style_request=not settings.path_style,
        client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": "5s", "timeout": "15m"},
        retry_config={"max_retries": 5},
    )


def _keys(settings: S3Section) -> dict[str, str]:
    return {
        "access_key_id": os.environ.get(settings.key_env, ""),
        "secret_access_key": os.environ.get(settings.secret_env, ""),
        "session_token": os.environ.get(settings.token_env, ""),
    }


def _unreachable(source: Source, error: Exception) -> SourceFailed:
    return failed(source, (str(error).strip().splitlines() or [type(error).__name__])[0][:200])
