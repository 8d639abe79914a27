"""Files past the server: the real client uploads parts to a real bucket and downloads from it by signed addresses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from buckets import bucket, client_of, credentials, s3_server
from doors.conftest import Site, served

__all__ = ["bucket", "credentials", "s3_server"]

AT = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts"


@pytest.fixture
def site(tmp_path: Path, bucket: str, s3_server: str) -> Iterator[Site]:
    root = tmp_path / "project"
    root.mkdir()
    store = f'[store]\nblobs = "s3://{bucket}/team"\n[store.s3]\nendpoint = "{s3_server}"\nregion = "eu-south-2"\n'
    (root / "bucle.toml").write_text(f'[project]\nname = "far"\n{store}')
    with served(root) as found:
        yield found


@pytest.fixture
def run(site: Site) -> str:
    made = site.client.post(f"{AT}/runs/create", json={"experiment_id": "0"})
    return str(made.json()["run"]["info"]["run_id"])


def keys(bucket: str, address: str) -> list[str]:
    return [found["Key"] for found in client_of(address).list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_large_file_goes_in_parts_and_comes_back_in_pieces(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str, s3_server: str
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(1 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", str(4 << 20))
    client = MlflowClient(site.url)
    made = client.create_run("0").info.run_id
    large, small = tmp_path / "weights.bin", tmp_path / "notes.txt"
    large.write_bytes(os.urandom(12 << 20))
    small.write_text("small")
    client.log_artifact(made, str(large), "deep")
    client.log_artifact(made, str(small))
    listed = {one.path: one.file_size for one in client.list_artifacts(made, "deep")}
    assert listed == {"deep/weights.bin": 12 << 20}
    (tmp_path / "back").mkdir()
    for path, file in (("deep/weights.bin", large), ("notes.txt", small)):
        assert Path(client.download_artifacts(made, path, str(tmp_path / "back"))).read_bytes() == file.read_bytes()
    assert [key for key in keys(bucket, s3_server) if ".uploads" in key] == []
    assert not (site.project.state / "blobs").exists()


def test_the_server_says_what_it_can(site: Site) -> None:
    info = site.json("/api/3.0/mlflow/server-info")
    assert info["multipart_uploads_enabled"] is info["multipart_downloads_enabled"] is True


def test_an_upload_with_a_missing_part_is_refused_and_an_aborted_one_is_gone(
    site: Site, run: str, bucket: str, s3_server: str
) -> None:
    at = f"0/{run}/artifacts"
    made = site.client.post(f"{PROXY}/mpu/create/{at}", json={"path": "/home/ana/x.bin", "num_parts": 2}).json()
    assert [one["part_number"] for one in made["credentials"]] == [1, 2]
    etag = site.client.put(made["credentials"][0]["url"], content=b"one").headers["etag"]
    parts = [{"part_number": 1, "etag": etag}, {"part_number": 2, "etag": "none"}]
    asked = {"path": "x.bin", "upload_id": made["upload_id"], "parts": parts}
    refused = site.client.post(f"{PROXY}/mpu/complete/{at}", json=asked)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert site.client.post(f"{PROXY}/mpu/abort/{at}", json={"upload_id": made["upload_id"]}).status_code == 200
    assert keys(bucket, s3_server) == []
    again = site.client.post(f"{PROXY}/mpu/complete/{at}", json=asked)
    assert again.status_code == 400


@pytest.mark.parametrize(
    ("at", "path", "status"),
    [
        ("0/{run}/artifacts/../../secret", "x", 400),
        ("0/{run}/artifacts", "..", 400),
        ("0/{run}/artifacts", "", 400),
        ("somewhere/else", "x", 404),
        ("0/00000000000000000000000000000000/artifacts", "x", 404),
    ],
)
def test_an_upload_goes_below_a_run_or_nowhere(site: Site, run: str, at: str, path: str, status: int) -> None:
    url = f"{PROXY}/mpu/create/{at.format(run=run).replace('..', '%2e%2e')}"
    assert site.client.post(url, json={"path": path, "num_parts": 1}).status_code == status


def test_an_address_for_a_file_of_a_run_is_given_for_a_while(site: Site, run: str) -> None:
    site.client.put(f"{PROXY}/artifacts/0/{run}/artifacts/a.txt", content=b"hello")
    asked = {"run_id": run, "path": "a.txt", "expiration": 60}
    found = site.client.post(f"{AT}/artifacts/presigned-download-url", json=asked).json()
    assert found["file_size"] == 5
    assert site.client.get(found["presigned_url"]).content == b"hello"
    for wrong in ({**asked, "expiration": 0}, {**asked, "path": "../x"}):
        assert site.client.post(f"{AT}/artifacts/presigned-download-url", json=wrong).status_code == 400
    upload = site.client.post(f"{AT}/artifacts/presigned-upload-url", json={"run_id": run, "path": "b"})
    assert upload.status_code == 501
