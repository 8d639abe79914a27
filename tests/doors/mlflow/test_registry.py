"""Registered models and versions through the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bucle.line import registry, tracking
from doors.conftest import Site
from doors.mlflow.conftest import unique

if TYPE_CHECKING:
    from mlflow import MlflowClient

TREES = "mlflow-artifacts:/trees/"


@pytest.fixture
def run(client: MlflowClient, experiment: str) -> str:
    """A finished run with a folder `model` of two files."""
    id_ = client.create_run(experiment).info.run_id
    client.log_text(id_, "flavors: {}", "model/MLmodel")
    client.log_text(id_, "weights", "model/data/weights.bin")
    client.set_terminated(id_)
    return id_


@pytest.fixture
def name(client: MlflowClient) -> str:
    """A registered model without versions."""
    return client.create_registered_model(unique("model")).name


def failed(call: Any, *args: Any, **kwargs: Any) -> str:
    """The error code a call fails with."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as caught:
        call(*args, **kwargs)
    return caught.value.error_code


def test_a_model_is_made_described_renamed_and_deleted(client: MlflowClient) -> None:
    name = unique("a name with spaces, é and @")
    made = client.create_registered_model(name, tags={"team": "fraud"}, description="first")
    assert (made.name, made.description, made.tags) == (name, "first", {"team": "fraud"})
    assert made.creation_timestamp == made.last_updated_timestamp
    assert failed(client.create_registered_model, name) == "RESOURCE_ALREADY_EXISTS"
    assert client.update_registered_model(name, "second").description == "second"
    client.rename_registered_model(name, f"{name}2")
    renamed = client.get_registered_model(f"{name}2")
    assert (renamed.name, renamed.tags) == (f"{name}2", {"team": "fraud"})
    assert failed(client.get_registered_model, name) == "RESOURCE_DOES_NOT_EXIST"
    client.delete_registered_model(f"{name}2")
    assert failed(client.delete_registered_model, f"{name}2") == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "..", "x" * 300, "a\nb", "nul\x00"])
def test_a_bad_name_is_refused(sqlite_server: Site, name: str) -> None:
    answer = sqlite_server.client.post("/api/2.0/mlflow/registered-models/create", json={"name": name})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_tags_of_models_and_versions_come_and_go(client: MlflowClient, name: str, run: str) -> None:
    version = client.create_model_version(name, f"runs:/{run}/model", run, tags={"a": "1"}).version
    long = "x" * 5000
    client.set_registered_model_tag(name, "long", long)
    client.set_registered_model_tag(name, "odd key/with: things", "v")
    client.set_model_version_tag(name, version, "b", long)
    client.set_model_version_tag(name, version, "b", "2")
    assert client.get_registered_model(name).tags == {"long": long, "odd key/with: things": "v"}
    assert client.get_model_version(name, version).tags == {"a": "1", "b": "2"}
    client.delete_registered_model_tag(name, "long")
    client.delete_registered_model_tag(name, "never there")
    client.delete_model_version_tag(name, version, "a")
    assert client.get_registered_model(name).tags == {"odd key/with: things": "v"}
    assert client.get_model_version(name, version).tags == {"b": "2"}
    assert failed(client.set_registered_model_tag, name, "k", "x" * 100_001) == "INVALID_PARAMETER_VALUE"
    assert failed(client.set_model_version_tag, name, "99", "k", "v") == "RESOURCE_DOES_NOT_EXIST"


def test_a_version_holds_the_files_as_they_were_when_it_was_registered(
    client: MlflowClient, mlflow_uri: str, name: str, run: str, tmp_path: Any
) -> None:
    import mlflow

    made = client.create_model_version(name, f"runs:/{run}/model", run, description="first", run_link="http://x/y")
    assert (made.version, made.status, made.current_stage) == ("1", "READY", "None")
    assert (made.run_id, made.source, made.run_link) == (run, f"runs:/{run}/model", "http://x/y")
    uri = client.get_model_version_download_uri(name, "1")
    assert uri.startswith(TREES)
    client.log_text(run, "other weights", "model/data/weights.bin")
    assert client.create_model_version(name, f"runs:/{run}/model", run).version == "2"
    mlflow.set_tracking_uri(mlflow_uri)
    mlflow.set_registry_uri(mlflow_uri)
    for version, text in (("1", "weights"), ("2", "other weights")):
        folder = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(tmp_path / version))
        assert (tmp_path / version / "data" / "weights.bin").read_text() == text
        assert folder


def test_numbers_go_on_after_deletion(client: MlflowClient, name: str, run: str) -> None:
    for _ in range(2):
        client.create_model_version(name, f"runs:/{run}/model", run)
    client.set_registered_model_alias(name, "best", "2")
    client.delete_model_version(name, "2")
    assert client.get_registered_model(name).aliases == {}
    assert failed(client.get_model_version, name, "2") == "RESOURCE_DOES_NOT_EXIST"
    assert client.create_model_version(name, f"runs:/{run}/model", run).version == "3"
    client.delete_registered_model(name)
    client.create_registered_model(name)
    assert client.create_model_version(name, f"runs:/{run}/model", run).version == "4"


def test_aliases_name_one_version(client: MlflowClient, name: str, run: str) -> None:
    for _ in range(3):
        client.create_model_version(name, f"runs:/{run}/model", run)
    client.set_registered_model_alias(name, "best", "1")
    client.set_registered_model_alias(name, "best", "2")
    client.set_registered_model_alias(name, "other", "2")
    assert client.get_registered_model(name).aliases == {"best": "2", "other": "2"}
    assert sorted(client.get_model_version(name, "2").aliases) == ["best", "other"]
    assert client.get_model_version_by_alias(name, "best").version == "2"
    assert client.get_model_version_by_alias(name, "latest").version == "3"
    client.delete_registered_model_alias(name, "best")
    client.delete_registered_model_alias(name, "best")
    assert failed(client.get_model_version_by_alias, name, "best") == "INVALID_PARAMETER_VALUE"
    assert failed(client.set_registered_model_alias, name, "v7", "1") == "INVALID_PARAMETER_VALUE"
    assert failed(client.set_registered_model_alias, name, "best", "9") == "RESOURCE_DOES_NOT_EXIST"


def test_stages_are_moved_and_others_archived(client: MlflowClient, name: str, run: str) -> None:
    for _ in range(3):
        client.create_model_version(name, f"runs:/{run}/model", run)
    assert client.transition_model_version_stage(name, "1", "Production").current_stage == "Production"
    assert client.transition_model_version_stage(name, "2", "staging").current_stage == "Staging"
    latest = {one.current_stage: one.version for one in client.get_latest_versions(name)}
    assert latest == {"None": "3", "Staging": "2", "Production": "1"}
    assert [one.version for one in client.get_latest_versions(name, ["Production"])] == ["1"]
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "1").current_stage == "Archived"
    assert client.transition_model_version_stage(name, "1", "None").current_stage == "None"
    assert {one.current_stage for one in client.get_registered_model(name).latest_versions} == {"None", "Production"}
    assert failed(client.transition_model_version_stage, name, "1", "Gold") == "INVALID_PARAMETER_VALUE"
    assert failed(client.transition_model_version_stage, name, "9", "Staging") == "RESOURCE_DOES_NOT_EXIST"


def test_a_rejected_version_shows_as_archived(sqlite_server: Site, client: MlflowClient, name: str, run: str) -> None:
    project = sqlite_server.project
    registry.create_model(project, other := unique("refused"))
    content = registry.files_content(project, f"run/{run}")
    registry.create_version(project, other, content)
    registry.transition(project, other, 1, "rejected", actor="ana", reason="too bad")
    shown = sqlite_server.client.get(f"/api/2.0/mlflow/model-versions/get?name={other}&version=1").json()
    assert shown["model_version"]["current_stage"] == "Archived"
    assert shown["model_version"]["status_message"].startswith("Rejected")


def test_models_are_searched_page_by_page(client: MlflowClient) -> None:
    mark = unique("mark")
    names = sorted(unique(f"s{number}") for number in range(5))
    for number, one in enumerate(names):
        client.create_registered_model(one, tags={"mark": mark, "parity": "odd" if number % 2 else "even"})
    page = client.search_registered_models(f"tags.mark = '{mark}'", max_results=2)
    found = list(page)
    while page.token:
        page = client.search_registered_models(f"tags.mark = '{mark}'", max_results=2, page_token=page.token)
        found += page
    assert [one.name for one in found] == names
    odd = client.search_registered_models(f"tags.mark = '{mark}' AND tag.parity != 'even'", order_by=["name DESC"])
    assert [one.name for one in odd] == [names[3], names[1]]
    assert [one.name for one in client.search_registered_models(f"name = '{names[2]}'")] == [names[2]]
    like = client.search_registered_models(f"name ILIKE '{names[0].upper()}%'")
    assert [one.name for one in like] == [names[0]]
    assert client.search_registered_models(f"name LIKE '{names[0].upper()}%'") == []
    some = client.search_registered_models(f"name IN ('{names[0]}', '{names[4]}')")
    assert [one.name for one in some] == [names[0], names[4]]


def test_versions_are_searched_by_what_they_are(client: MlflowClient, name: str, run: str, experiment: str) -> None:
    other = client.create_run(experiment).info.run_id
    client.create_model_version(name, f"runs:/{run}/model", run, tags={"kind": "a"})
    client.create_model_version(name, f"runs:/{other}/model", other, tags={"kind": "b" * 300})
    client.create_model_version(name, f"runs:/{run}/model", run, tags={"kind": "A"})

    def numbers(filter_: str, **kwargs: Any) -> list[str]:
        return [one.version for one in client.search_model_versions(f"name = '{name}' AND {filter_}", **kwargs)]

    assert numbers("run_id != ''") == ["3", "2", "1"]
    assert numbers(f"run_id = '{other}'") == ["2"]
    assert numbers(f"run_id IN ('{run}')", order_by=["version_number ASC"]) == ["1", "3"]
    assert numbers("version_number > 1", order_by=["version_number ASC"]) == ["2", "3"]
    assert numbers(f"source_path LIKE 'runs:/{run}%'") == ["3", "1"]
    assert numbers("tags.kind = 'a'") == ["1"]
    assert numbers("tags.kind ILIKE 'a'") == ["3", "1"]
    assert numbers(f"tags.kind = '{'b' * 300}'") == ["2"]
    assert numbers(f"tags.kind LIKE '%{'b' * 200}'") == ["2"]
    assert numbers("tags.kind != 'a'") == ["3", "2"]
    page = client.search_model_versions(f"name = '{name}'", max_results=2)
    rest = client.search_model_versions(f"name = '{name}'", max_results=2, page_token=page.token)
    assert [one.version for one in [*page, *rest]] == ["3", "2", "1"]
    assert not rest.token


@pytest.mark.parametrize(
    "filter_",
    [
        "nme = 'x'",
        "name = x",
        "name > 'x'",
        "tags.k > 'v'",
        "version_number = 1.5",
        "name = 'a' OR name = 'b'",
        "name =",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_with_the_place(sqlite_server: Site, filter_: str) -> None:
    path = "/api/2.0/mlflow/model-versions/search"
    answer = sqlite_server.client.get(path, params={"filter": filter_, "max_results": 10})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("registered-models/search", {"max_results": 1001}),
        ("registered-models/search", {"max_results": 0}),
        ("registered-models/search", {"page_token": "made up"}),
        ("registered-models/search", {"order_by": "owner"}),
        ("model-versions/search", {"max_results": 200_001}),
        ("model-versions/search", {"max_results": "many"}),
        ("model-versions/get", {"name": "m", "version": "x"}),
        ("model-versions/get", {"name": "m"}),
        ("registered-models/get", {}),
    ],
)
def test_a_request_out_of_bounds_is_refused(sqlite_server: Site, path: str, params: dict[str, Any]) -> None:
    answer = sqlite_server.client.get(f"/api/2.0/mlflow/{path}", params=params)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd", "file:///etc/passwd", "file:relative", "relative/path", "../..", "C:\\Windows", "",
        "mlflow-artifacts:/../../etc", "mlflow-artifacts://other.host/0/r/artifacts", "runs://host/abc/model",
        "http://127.0.0.1/api/2.0/mlflow-artifacts/artifacts/%2e%2e/x", "s3://bucket/../up", "bogus://x",
        "runs:/%252e%252e/x",
    ],
)  # fmt: skip
def test_a_source_on_this_machine_is_refused(sqlite_server: Site, source: str) -> None:
    name = unique("local")
    sqlite_server.client.post("/api/2.0/mlflow/registered-models/create", json={"name": name})
    answer = sqlite_server.client.post("/api/2.0/mlflow/model-versions/create", json={"name": name, "source": source})
    assert (answer.status_code, answer.json()["error_code"]) in (
        (400, "INVALID_PARAMETER_VALUE"),
        (404, "RESOURCE_DOES_NOT_EXIST"),
    )
    assert registry.versions(sqlite_server.project, name) == []


def test_a_source_must_belong_to_the_run_that_is_named(client: MlflowClient, name: str, run: str) -> None:
    assert failed(client.create_model_version, name, f"runs:/{run}/model", "0" * 32) == "INVALID_PARAMETER_VALUE"
    assert client.create_model_version(name, f"runs:/{run}/model").run_id == run


def test_an_address_of_another_store_is_kept_by_reference(client: MlflowClient, name: str) -> None:
    made = client.create_model_version(name, "s3://bucket/models/x")
    assert made.source == client.get_model_version_download_uri(name, made.version) == "s3://bucket/models/x"


def test_a_version_is_copied_to_another_model(client: MlflowClient, name: str, run: str) -> None:
    client.create_model_version(name, f"runs:/{run}/model", run, tags={"a": "1"}, description="text")
    copied = client.copy_model_version(f"models:/{name}/1", to := unique("copy"))
    assert (copied.name, copied.version, copied.run_id) == (to, "1", run)
    assert (copied.tags, copied.description) == ({"a": "1"}, "text")
    assert client.get_model_version_download_uri(to, "1") == client.get_model_version_download_uri(name, "1")


@pytest.mark.parametrize("mlflow_uri", ["http+sqlite", "bucle+postgresql"], indirect=True)
def test_a_logged_model_is_registered_and_loaded(fluent: Any, client: MlflowClient) -> None:
    name = unique("logged")

    class Echo(fluent.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    with fluent.start_run():
        info = fluent.pyfunc.log_model(
            name="echo", python_model=Echo(), pip_requirements=[], registered_model_name=name
        )
    assert fluent.register_model(f"models:/{info.model_id}", name).version == "2"
    versions = client.get_logged_model(info.model_id).tags["mlflow.modelVersions"]
    assert f'"name": "{name}"' in versions
    client.set_registered_model_alias(name, "champion", "1")
    for which in (f"{name}@champion", f"{name}/latest", f"{name}/1"):
        assert fluent.pyfunc.load_model(f"models:/{which}").predict(["a"]) == ["a"]


def test_a_version_knows_the_digest_of_its_files(server: Site) -> None:
    project, name = server.project, unique("digest")
    run = tracking.create_run(project, "0").id
    tracking.put_artifact(project, f"run/{run}", "model/a.txt", b"a")
    tracking.put_artifact(project, f"run/{run}", "model/sub/b.txt", b"bb")
    server.client.post("/api/2.0/mlflow/registered-models/create", json={"name": name})
    body = {"name": name, "source": f"runs:/{run}/model", "run_id": run}
    assert server.client.post("/api/2.0/mlflow/model-versions/create", json=body).status_code == 200
    made = registry.version(project, name, 1)
    assert made.digest == tracking.tree_digest(project, f"run/{run}", "model")
    listed = server.client.get(f"/api/2.0/mlflow-artifacts/artifacts?path=trees/{made.digest}").json()["files"]
    assert listed == [{"path": "a.txt", "is_dir": False, "file_size": 1}, {"path": "sub", "is_dir": True}]
    file = server.client.get(f"/model-versions/get-artifact?name={name}&version=1&path=sub/b.txt")
    assert (file.content, file.headers["content-disposition"].startswith("attachment")) == (b"bb", True)
    for wrong in (f"trees/{made.digest}/no", f"trees/{'0' * 64}/a.txt", f"trees/{made.digest}/../x"):
        assert server.client.get(f"/api/2.0/mlflow-artifacts/artifacts/{wrong}").status_code in (400, 404)
    changed = server.client.put(f"/api/2.0/mlflow-artifacts/artifacts/trees/{made.digest}/a.txt", content=b"x")
    assert changed.status_code in (400, 404)
