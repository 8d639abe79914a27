"""Artifacts through the real client, and the tricks that must not work."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from doors.conftest import Site
from doors.mlflow.conftest import Places

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
