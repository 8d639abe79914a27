"""Tables whose keys are wrapped by AWS KMS, as moto speaks it."""

from __future__ import annotations

import base64
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
import sqlalchemy as sa

from buckets import KEY, REGION, SECRET, credentials, s3_server  # noqa: F401  fixtures
from bucle.ground import keys
from bucle.ground.keys import aws_kms
from bucle.ground.keys.aws_kms import AwsKms
from bucle.ground.keys.tables import TABLE_KEYS
from bucle.ground.project import Project
from bucle.line import data

ROWS = pl.DataFrame({"n": [1, 2, 3]})
ALIAS = "alias/lake"


@pytest.fixture
def kms(s3_server: str, credentials: None) -> Any:  # noqa: F811
    """A client of the service's owner; each test has its own alias."""
    client = boto3.client(
        "kms", endpoint_url=s3_server, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION
    )
    made = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName=ALIAS, TargetKeyId=made)
    yield client
    client.delete_alias(AliasName=ALIAS)
    client.close()


@pytest.fixture
def root(tmp_path: Path, s3_server: str, kms: Any) -> Path:  # noqa: F811
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bucle.toml").write_text(
        '[project]\nname = "test"\n[data.encryption]\ntables = ["secret*"]\nprovider = "aws-kms"\n'
        f'kms_key = "{ALIAS}"\nkms_region = "{REGION}"\nkms_endpoint = "{s3_server}"\n'
    )
    return folder


def arn(kms: Any) -> str:
    return str(kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["Arn"])


def test_a_table_is_encrypted_by_a_key_that_stays_with_the_service(root: Path, kms: Any) -> None:
    with closing(Project.open(root)) as project:
        data.commit(project, {"secret": ROWS, "plain": ROWS}, message="rows")
        (one,) = keys.keys(project)
        assert one.master == arn(kms)
    with closing(Project.open(root)) as again:
        assert data.scan(again, "secret").equals(ROWS)
        data.commit(again, {"secret": ROWS}, message="more")
        assert data.scan(again, "secret").height == 6
        with again.database.reading() as connection:
            wrapped = base64.b64decode(connection.execute(sa.select(TABLE_KEYS.c.wrapped)).scalar_one())
        opened = AwsKms(ALIAS, REGION, kms.meta.endpoint_url).unwrap(one.master, wrapped, one.key.encode())
        assert len(opened) == 32
        assert opened not in wrapped
        assert data.verify_files(again) == []


def test_a_key_is_bound_to_its_table(root: Path, kms: Any) -> None:
    provider = AwsKms(ALIAS, REGION, kms.meta.endpoint_url)
    master, wrapped = provider.wrap(b"k" * 32, b"one")
    assert provider.unwrap(master, wrapped, b"one") == b"k" * 32
    cut = wrapped[:-1]
    for bad, about in ((wrapped, b"other"), (cut, b"one"), (b"x" + wrapped[1:], b"one"), (b"nothing", b"one")):
        with pytest.raises((keys.SealBroken, keys.KeyMissing)):
            provider.unwrap(master, bad, about)
    with pytest.raises(keys.SealBroken):
        provider.unwrap(master, wrapped, b"other")


def test_another_key_behind_the_alias_wraps_after_a_rotation(root: Path, kms: Any) -> None:
    with closing(Project.open(root)) as project:
        data.commit(project, {"secret": ROWS, "secret2": ROWS}, message="rows")
        old = arn(kms)
        kms.update_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        data.commit(project, {"secret3": ROWS}, message="under the new one")
        assert {one.table for one in keys.rotate(project)} == {"secret", "secret2"}
        assert {one.master for one in keys.keys(project)} == {arn(kms)} != {old}
        assert keys.rotate(project) == []
    kms.disable_key(KeyId=old.rpartition("/")[2])
    with closing(Project.open(root)) as again:
        assert data.scan(again, "secret").equals(ROWS)


def test_a_destroyed_key_is_gone_here_whatever_the_service_holds(root: Path) -> None:
    with closing(Project.open(root)) as project:
        data.commit(project, {"secret": ROWS}, message="rows")
        data.destroy_key(project, "secret", reason="asked to forget")
        with pytest.raises(keys.KeyDestroyed):
            data.scan(project, "secret")


def test_a_key_that_may_not_be_used_says_so(root: Path, kms: Any) -> None:
    with closing(Project.open(root)) as project:
        data.commit(project, {"secret": ROWS}, message="rows")
    kms.disable_key(KeyId=arn(kms).rpartition("/")[2])
    with closing(Project.open(root)) as again:
        with pytest.raises(keys.KeyMissing, match="Disabled"):
            keys.rotate(again)
        with pytest.raises(keys.KeysOff, match="alias"):
            keys.make_keyring(again)
    with pytest.raises(keys.KeyMissing, match="NotFound"):
        AwsKms("alias/nowhere", REGION, kms.meta.endpoint_url).current()


def test_a_service_that_does_not_answer_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_kms, "_WAIT", {"connect_timeout": 1, "retries": {"max_attempts": 0}})
    with pytest.raises(keys.KeysUnreachable):
        AwsKms(ALIAS, REGION, "http://127.0.0.1:1").wrap(b"k" * 32, b"one")


def test_without_credentials_the_key_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(keys.KeyMissing, match="no credentials"):
        AwsKms(ALIAS, REGION, "http://127.0.0.1:1").wrap(b"k" * 32, b"one")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("", REGION, ""), "No key"),
        ((ALIAS, REGION, "http://kms.example.org"), "not encrypted"),
        ((ALIAS, "no region", ""), "cannot be asked"),
    ],
)
def test_settings_that_cannot_be_used(given: tuple[str, str, str], said: str) -> None:
    with pytest.raises(keys.BadKeyring, match=said):
        AwsKms(*given)


def test_the_region_of_an_arn_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    made = AwsKms("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
    assert made._client.meta.region_name == "eu-west-1"
