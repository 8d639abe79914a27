"""Objects of a bucket, read as files; what is new is told by their etags."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import Any

from bucle.ground.core import ConfigError, S3Section, StoreSection
from bucle.ground.project import Project
from bucle.line.sources.errors import SourceFailed
from bucle.line.sources.files import pull_listed
from bucle.line.sources.pulled import Desk, Pulled, failed
from bucle.line.sources.source import Source

__all__ = ["pull_s3"]


def pull_s3(desk: Desk) -> Pulled | None:
    """The rows of a bucket's objects; errors as for files.

    The bucket is reached as `[store.s3]` says, unless `options` names an `endpoint` or `region`.
    """
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    source = desk.source
    store = _connect(desk.project, source)
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


def _connect(project: Project, source: Source) -> Any:
    try:
        from obstore.store import S3Store  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "Buckets are read with obstore, which is not installed.",
            why="It is an extra.",
            fix="pip install 'bucle[s3]'",
        ) from error
    bucket, _, prefix = source.location.removeprefix("s3://").partition("/")
    settings = project.config.section("store", StoreSection).s3
    endpoint = str(source.options.get("endpoint", "")) or settings.endpoint
    region = str(source.options.get("region", "")) or settings.region or os.environ.get("AWS_REGION", "us-east-1")
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
