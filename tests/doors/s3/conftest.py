"""Stock S3 clients against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from bucle.ground import governance
from bucle.line import data
from doors.conftest import Site, served

HERE = Path(__file__).parent
Connect = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The clients warn of what is theirs; what Bucle warns of is an error here as everywhere.
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            item.add_marker(pytest.mark.filterwarnings(r"error:::bucle\."))


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Site]:
    """A served project called `lake`, with a first object on `main`, and a branch `dev`."""
    with served(new_root(tmp_path / "project")) as site:
        data.commit(site.project, {}, files={"first.txt": b"first"}, message="first")
        data.create_branch(site.project, "dev")
        yield site


def new_root(root: Path, more: str = "") -> Path:
    root.mkdir()
    (root / "bucle.toml").write_text(f'[project]\nname = "lake"\n{more}')
    return root


@pytest.fixture
def connect(bucket: Site) -> Connect:
    """A stock client of a principal."""
    return lambda principal="eva", **config: client_of(bucket, principal, **config)


@pytest.fixture
def s3(connect: Connect) -> Any:
    """The client of `eva`."""
    return connect()


def client_of(site: Site, principal: str = "eva", **config: Any) -> Any:
    key, secret = governance.make_access_key(site.project, principal)
    return client_with(site.url, key.id, secret, **config)


def client_with(url: str, key: str, secret: str, **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="eu-south-2",
        config=Config(retries={"max_attempts": 1}, **config),
    )


def keys(client: Any, **asked: Any) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="lake", **asked)
    return [one["Key"] for page in pages for one in page.get("Contents", ())]


def prefixes(client: Any, **asked: Any) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="lake", Delimiter="/", **asked)
    return [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ())]
