"""Artifacts through the real client, and the tricks that must not work."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bucle.doors.protocols.mlflow.app import Door
from bucle.doors.protocols.mlflow.routes import Wire
from bucle.doors.protocols.mlflow.wire import Answer, Call, Route
from bucle.doors.protocols.uploads import ABANDONED_S, Uploads
from doors.conftest import Site, served
from doors.mlflow.conftest import Places, unique

if TYPE_CHECKING:
    from mlflow import MlflowClient

AT = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def run(client: MlflowClient, experiment: str) -> str:
    return client.create_run(experiment).info.run_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "logged"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "empty").write_bytes(b"")
    (root / "deep" / "b.bin").write_bytes(bytes(range(256)) * 10_000)
    (root / "deep" / "er" / "größe ñ.txt").write_text("c")
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_folder_comes_back_byte_for_byte(client: MlflowClient, run: str, folder: Path, tmp_path: Path) -> None:
    client.log_artifacts(run, str(folder), "kept")
    back = tmp_path / "back"
    back.mkdir()
    client.download_artifacts(run, "kept", str(back))
    assert digests(back / "kept") == digests(folder)


def test_lists_show_one_folder_with_sizes(client: MlflowClient, run: str, folder: Path) -> None:
    client.log_artifacts(run, str(folder))
    root = {one.path: (one.is_dir, one.file_size) for one in client.list_artifacts(run)}
    assert root == {"a.txt": (False, 1), "deep": (True, None), "empty": (False, 0)}
    deep = {one.path: (one.is_dir, one.file_size) for one in client.list_artifacts(run, "deep")}
    assert deep == {"deep/b.bin": (False, 2_560_000), "deep/er": (True, None)}
    assert client.list_artifacts(run, "deep/b.bin") == []
    assert client.list_artifacts(run, "nothing") == []


def test_texts_dicts_and_figures_are_kept(client: MlflowClient, run: str, tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    client.log_text(run, "héllo", "notes/n.txt")
    client.log_dict(run, {"a": [1, 2]}, "d.json")
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    client.log_figure(run, figure, "f.png")
    pyplot.close(figure)
    path = client.download_artifacts(run, "notes/n.txt", str(tmp_path))
    assert Path(path).read_text() == "héllo"
    assert Path(client.download_artifacts(run, "f.png", str(tmp_path))).read_bytes().startswith(b"\x89PNG")


def test_a_file_logged_again_is_replaced(client: MlflowClient, run: str, tmp_path: Path) -> None:
    for text in ("first", "second"):
        client.log_text(run, text, "n.txt")
    assert Path(client.download_artifacts(run, "n.txt", str(tmp_path))).read_text() == "second"


def test_artifacts_are_read_by_address(fluent: object, tmp_path: Path) -> None:
    import mlflow

    with mlflow.start_run() as active:
        mlflow.log_text("text", "folder/n.txt")
    for uri in (f"runs:/{active.info.run_id}/folder/n.txt", f"{active.info.artifact_uri}/folder/n.txt"):
        assert mlflow.artifacts.load_text(uri) == "text"


def test_artifacts_are_deleted(client: MlflowClient, run: str, folder: Path) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client.log_artifacts(run, str(folder))
    repository = get_artifact_repository(client.get_run(run).info.artifact_uri, tracking_uri=client.tracking_uri)
    repository.delete_artifacts("deep")
    assert {one.path for one in client.list_artifacts(run)} == {"a.txt", "empty"}


def test_a_missing_file_is_not_found(client: MlflowClient, run: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"404|There is no|not"):
        client.download_artifacts(run, "nothing.txt", str(tmp_path))


def test_an_address_of_ours_names_a_file_from_anywhere(places: Places, tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=places.uri("bucle+sqlite"))
    run = client.create_run("0").info.run_id
    client.log_text(run, "text", "folder/n.txt")
    address = f"{places.uri('bucle+sqlite')}/-/0/{run}/artifacts/folder"
    assert mlflow.artifacts.load_text(f"{address}/n.txt") == "text"
    assert [one.path for one in mlflow.artifacts.list_artifacts(address)] == ["folder/n.txt"]
    assert mlflow.artifacts.download_artifacts(address, dst_path=str(tmp_path))
    assert (tmp_path / "folder" / "n.txt").read_text() == "text"


# By plain HTTP


def a_run(site: Site) -> str:
    return str(site.client.post(f"{AT}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"])


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "%252e%252e/x",
        "%25252e%25252e/x",
        "..%2fx",
        "..%5cx",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a%00b",
        "a%23b",
        "a%3bb",
        "a%0ab",
        "C:/x",
        "a//b",
        "",
        "x" * 2000,
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(server: Site, path: str) -> None:
    run = a_run(server)
    # As bytes, so that the client does not tidy it up first.
    target = f"{PROXY}/0/{run}/artifacts/{path}".encode()
    with server.client.stream("PUT", server.url, extensions={"target": target}, content=b"x") as answer:
        answer.read()
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert server.client.get(f"{AT}/artifacts/list", params={"run_id": run}).json().get("files") is None


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "%2e%2e/x", "a#b", "a;b"])
def test_a_list_of_elsewhere_is_refused(sqlite_server: Site, path: str) -> None:
    answer = sqlite_server.client.get(f"{AT}/artifacts/list", params={"run_id": a_run(sqlite_server), "path": path})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["x.txt", "0/x.txt", "0/0123456789abcdef/x.txt"])
def test_nothing_is_kept_outside_of_what_was_handed_out(sqlite_server: Site, path: str) -> None:
    assert sqlite_server.client.put(f"{PROXY}/{path}", content=b"x").status_code == 404


def test_nothing_is_kept_for_a_run_that_does_not_exist(sqlite_server: Site) -> None:
    answer = sqlite_server.client.put(f"{PROXY}/0/{'0' * 32}/artifacts/x", content=b"x")
    assert answer.status_code == 404


@pytest.mark.parametrize("name", ["page.html", "image.svg", "größe.html"])
def test_a_page_a_run_logged_is_saved_and_never_shown(server: Site, name: str) -> None:
    run = a_run(server)
    server.client.put(f"{PROXY}/0/{run}/artifacts/{name}", content=b"<script>alert(1)</script>")
    for ask, params in (("/get-artifact", {"run_id": run, "path": name}), (f"{PROXY}/0/{run}/artifacts/{name}", {})):
        answer = server.client.get(ask, params=params)
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]


def test_a_large_file_goes_through_in_pieces(server: Site) -> None:
    run, size = a_run(server), 64 << 20
    piece = bytes(1 << 20)
    target = f"{PROXY}/0/{run}/artifacts/large.bin"

    def pieces() -> object:
        for number in range(size >> 20):
            yield bytes([number]) + piece[1:]

    assert server.client.put(target, content=pieces()).status_code == 200
    seen = 0
    with server.client.stream("GET", target) as answer:
        assert answer.headers["content-length"] == str(size)
        for part in answer.iter_bytes(1 << 20):
            assert part[0] == seen >> 20
            seen += len(part)
    assert seen == size
    assert list((server.project.state / "uploads").iterdir()) == []


def test_multipart_and_presigned_are_answered_as_mlflow_does_without_a_bucket(sqlite_server: Site) -> None:
    run = a_run(sqlite_server)
    path = f"/api/2.0/mlflow-artifacts/mpu/create/0/{run}/artifacts"
    answer = sqlite_server.client.post(path, json={"path": "x", "num_parts": 2})
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert answer.json()["message"].startswith("Multipart upload is not supported")


def test_a_client_told_to_use_multipart_falls_back(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "10")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "5")
    client = MlflowClient(places.uri("http+sqlite"))
    run = client.create_run("0").info.run_id
    (tmp_path / "f.bin").write_bytes(b"0123456789" * 10)
    client.log_artifact(run, str(tmp_path / "f.bin"))
    (tmp_path / "back").mkdir()
    back = client.download_artifacts(run, "f.bin", str(tmp_path / "back"))
    assert Path(back).read_bytes() == b"0123456789" * 10


# What is taken in, and what is left of it


def refused_at_once(site: Site, target: str, length: int) -> int:
    """The status of an answer to a file of which only the beginning is ever sent."""
    url = urlsplit(site.url)
    with socket.create_connection((url.hostname, url.port), timeout=60) as line:
        head = f"PUT {target} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-length: {length}\r\n\r\n"
        line.sendall(head.encode() + b"x" * 10)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return answer.status


def test_a_file_nobody_would_keep_is_refused_before_it_is_taken_in(server: Site) -> None:
    run, deleted = a_run(server), a_run(server)
    server.client.post(f"{AT}/runs/delete", json={"run_id": deleted})
    for target, status in (
        (f"{PROXY}/0/{deleted}/artifacts/x", 400),
        (f"{PROXY}/0/{'0' * 32}/artifacts/x", 404),
        (f"{PROXY}/0/models/m-{'0' * 32}/artifacts/x", 404),
        (f"{PROXY}/0/traces/tr-{'0' * 32}/artifacts/x", 404),
        (f"{PROXY}/0/{run}/artifacts/../x", 400),
        (f"{PROXY}/trees/{'0' * 64}/x", 404),
    ):
        assert refused_at_once(server, target, 1 << 30) == status, target
    assert list((server.project.state / "uploads").glob("*")) == []


def test_a_run_of_a_deleted_experiment_takes_no_file(server: Site) -> None:
    made = server.client.post(f"{AT}/experiments/create", json={"name": unique("gone")}).json()["experiment_id"]
    run = server.client.post(f"{AT}/runs/create", json={"experiment_id": made}).json()["run"]["info"]["run_id"]
    server.client.post(f"{AT}/experiments/delete", json={"experiment_id": made})
    assert refused_at_once(server, f"{PROXY}/{made}/{run}/artifacts/x", 1 << 30) == 400


def test_a_file_larger_than_the_operator_allows_is_refused_and_leaves_nothing(root: Path) -> None:
    (root / "bucle.toml").write_text('[project]\nname = "t"\n[server]\nlargest_upload_bytes = 100000\n')
    with served(root) as site:
        target = f"{PROXY}/0/{a_run(site)}/artifacts/x"
        assert refused_at_once(site, target, 100_001) == 413
        answer = site.client.put(target, content=(b"x" * 10_000 for _ in range(11)))
        assert (answer.status_code, answer.json()["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
        assert site.client.put(target, content=(b"x" * 10_000 for _ in range(10))).status_code == 200
        assert list((site.project.state / "uploads").iterdir()) == []


def test_uploads_a_killed_server_left_are_swept_and_others_stay(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    mine, dead, young, old, older = uploads.new(), uploads.new(), uploads.new(), uploads.new(), uploads.new()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = mine.name.partition("-")[0]
    folder = mine.parent
    dead = dead.rename(folder / f"{host}-{ended.pid}-a")
    reused = young.rename(folder / f"{host}-{os.getpid()}-b")  # of a process that had this number before
    os.utime(reused, (1000, 1000))
    elsewhere, gone = old.rename(folder / "elsewhere-1-c"), older.rename(folder / "elsewhere-1-d")
    beside, left = tmp_path / "upload-new", tmp_path / "upload-old"
    for file in (beside, left):
        file.touch()
    for file in (gone, left):
        os.utime(file, (time.time() - 2 * ABANDONED_S,) * 2)
    uploads.sweep()
    kept = {file for file in (mine, dead, reused, elsewhere, gone, beside, left) if file.exists()}
    assert kept == {mine, elsewhere, beside}


def test_a_server_sweeps_when_it_starts(root: Path) -> None:
    left = root / ".bucle" / "uploads" / "elsewhere-1-x"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (1000, 1000))
    with served(root):
        assert not left.exists()


def test_nothing_more_is_read_for_a_client_that_left(sqlite_server: Site) -> None:
    read, gone = list[int](), asyncio.Event()

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield b"x"

    async def receive() -> dict[str, Any]:
        if not asked:
            asked.append(True)
            return {"type": "http.request"}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            gone.set()

    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope["path"])

    asked = list[bool]()
    door = Door(nobody, sqlite_server.project)
    route = Route("GET", "/api/2.0/x", Call, lambda call, project: Answer(200, {}, pieces()))
    door._wire = Wire(sqlite_server.project, (route,))
    scope = {"type": "http", "method": "GET", "path": "/api/2.0/x", "query_string": b"", "headers": []}
    asyncio.run(door(scope, receive, send))
    assert len(read) < 10


# Whose files an experiment's own address would be


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/trees/{digest}",
        "mlflow-artifacts:/trees",
        "mlflow-artifacts:///trees/x",
        "mlflow-artifacts:/./trees/x",
        "mlflow-artifacts:/%74rees/x",
        "mlflow-artifacts:trees/x",
        "mlflow-artifacts:/0/{run}/artifacts",
        "mlflow-artifacts:/0/{run}/artifacts/deep",
        "mlflow-artifacts:/0/{run}/%61rtifacts",
        "mlflow-artifacts:/0/{run}/%2561rtifacts",
        "mlflow-artifacts:/0/{run}%2fartifacts",
        "MLFLOW-ARTIFACTS:/0/{run}/artifacts",
        "mlflow-artifacts:/0/{run}/arti\tfacts",
        "mlflow-artifacts:/0/models/m-0123/artifacts",
        "mlflow-artifacts:/0/traces/tr-0123/artifacts",
        "http://127.0.0.1:4242/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts",
        "http://127.0.0.1:4242/api/2.0/mlflow-artifacts/artifacts/trees/x",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts:/%2e%2e/x",
        "mlflow-artifacts:/a%00b",
        "mlflow-artifacts:/a;b",
        "mlflow-artifacts:/a#b",
        "mlflow-artifacts:/a?b",
        "mlflow-artifacts://host/a",
        "/etc",
        "file:///etc",
        "etc",
        " mlflow-artifacts:/a",
    ],
)
def test_no_experiment_lies_where_files_of_others_are(sqlite_server: Site, location: str) -> None:
    given = location.format(run=a_run(sqlite_server), digest="0" * 64)
    body = {"name": unique("thief"), "artifact_location": given}
    answer = sqlite_server.client.post(f"{AT}/experiments/create", json=body)
    assert (answer.status_code, answer.json().get("error_code")) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "location",
    ["mlflow-artifacts:/models", "mlflow-artifacts:/traces/x", "mlflow-artifacts:/a b/treesome", "mlflow-artifacts:/"],
)
def test_a_file_of_an_experiment_with_an_address_of_its_own_is_its_run_s_alone(server: Site, location: str) -> None:
    body = {"name": unique("own"), "artifact_location": location}
    made = server.client.post(f"{AT}/experiments/create", json=body).json()["experiment_id"]
    info = server.client.post(f"{AT}/runs/create", json={"experiment_id": made}).json()["run"]["info"]
    folder = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert server.client.put(f"{PROXY}/{folder}/f.txt", content=b"mine").status_code == 200
    assert server.client.get(f"{PROXY}/{folder}/f.txt").content == b"mine"
    listed = server.client.get(f"{AT}/artifacts/list", params={"run_id": info["run_id"]}).json()["files"]
    assert [one["path"] for one in listed] == ["f.txt"]
