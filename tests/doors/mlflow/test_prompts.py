"""Prompts through the real client: models whose versions are texts, hidden from those who look for models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bucle.ground.core import digest_of
from bucle.line import registry
from doors.conftest import Site
from doors.mlflow.conftest import unique

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_a_prompt_is_registered_loaded_and_filled_in(fluent: Any) -> None:
    name = unique("greeting")
    first = fluent.genai.register_prompt(name, "Hello {{who}}!", commit_message="first", tags={"lang": "en"})
    second = fluent.genai.register_prompt(name, "Hi {{who}}!", commit_message="shorter")
    assert (first.version, second.version, first.commit_message) == (1, 2, "first")
    assert fluent.genai.load_prompt(name).template == "Hi {{who}}!"
    loaded = fluent.genai.load_prompt(f"prompts:/{name}/1")
    assert (loaded.format(who="Ana"), loaded.tags) == ("Hello Ana!", {"lang": "en"})
    assert fluent.genai.load_prompt(unique("none"), allow_missing=True) is None


def test_a_prompt_of_messages_keeps_its_form(fluent: Any) -> None:
    name = unique("chat")
    messages = [{"role": "system", "content": "You are {{style}}."}, {"role": "user", "content": "{{question}}"}]
    form = {"type": "object", "properties": {"answer": {"type": "string"}}}
    fluent.genai.register_prompt(name, messages, response_format=form, model_config={"temperature": 0.1})
    loaded = fluent.genai.load_prompt(f"prompts:/{name}/1")
    assert (loaded.template, loaded.response_format) == (messages, form)
    assert loaded.model_config == {"temperature": 0.1}


def test_aliases_of_prompts_move(fluent: Any) -> None:
    name = unique("aliased")
    for text in ("one", "two"):
        fluent.genai.register_prompt(name, text)
    fluent.genai.set_prompt_alias(name, "production", 1)
    assert fluent.genai.load_prompt(f"prompts:/{name}@production").template == "one"
    fluent.genai.set_prompt_alias(name, "production", 2)
    assert fluent.genai.load_prompt(f"prompts:/{name}@production", cache_ttl_seconds=0).template == "two"
    fluent.genai.delete_prompt_alias(name, "production")
    assert fluent.genai.load_prompt(f"prompts:/{name}@production", allow_missing=True, cache_ttl_seconds=0) is None


def test_prompts_and_models_do_not_show_among_each_other(client: MlflowClient, fluent: Any) -> None:
    mark = unique("mark")
    fluent.genai.register_prompt(prompt := unique("prompt"), "text", tags={"mark": mark})
    client.create_registered_model(model := unique("model"), tags={"mark": mark})
    assert [one.name for one in client.search_registered_models(f"tags.mark = '{mark}'")] == [model]
    assert [one.name for one in fluent.genai.search_prompts(f"tags.mark = '{mark}'")] == [prompt]
    assert client.search_model_versions(f"name = '{prompt}'") == []
    found = client.search_prompt_versions(prompt)
    assert [(one.version, one.template) for one in found] == [(1, "text")]


def test_tags_of_prompts_and_their_versions(client: MlflowClient, fluent: Any) -> None:
    name = unique("tagged")
    fluent.genai.register_prompt(name, "text")
    fluent.genai.set_prompt_tag(name, "team", "a")
    assert fluent.genai.get_prompt_tags(name)["team"] == "a"
    fluent.genai.delete_prompt_tag(name, "team")
    assert "team" not in fluent.genai.get_prompt_tags(name)
    fluent.genai.set_prompt_version_tag(name, 1, "seen", "yes")
    assert client.get_prompt_version(name, 1).tags["seen"] == "yes"
    fluent.genai.delete_prompt_version_tag(name, 1, "seen")
    assert "seen" not in client.get_prompt_version(name, 1).tags


def test_prompts_are_deleted(client: MlflowClient, fluent: Any) -> None:
    from mlflow.exceptions import MlflowException

    name = unique("gone")
    for text in ("one", "two"):
        fluent.genai.register_prompt(name, text)
    client.delete_prompt_version(name, "1")
    assert [one.version for one in client.search_prompt_versions(name)] == [2]
    client.delete_prompt(name)
    assert client.get_prompt(name) is None
    with pytest.raises(MlflowException):
        fluent.genai.load_prompt(f"prompts:/{name}/2", cache_ttl_seconds=0)


def test_a_name_is_a_prompt_or_a_model(client: MlflowClient, fluent: Any) -> None:
    from mlflow.exceptions import MlflowException

    client.create_registered_model(name := unique("model"))
    with pytest.raises(MlflowException, match="model"):
        fluent.genai.register_prompt(name, "text")
    fluent.genai.register_prompt(prompt := unique("prompt"), "text")
    with pytest.raises(MlflowException) as caught:
        client.create_registered_model(prompt)
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_a_prompts_version_is_bound_to_its_text(server: Site) -> None:
    made = registry.register_prompt(server.project, unique("bound"), "words")
    assert (made.kind, made.digest) == ("prompt", digest_of(b"words"))
    body = {"name": made.model, "version": "1", "key": registry.PROMPT_TEXT, "value": "other words"}
    answer = server.client.post("/api/2.0/mlflow/model-versions/set-tag", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert registry.verify_packages(server.project) == []


def test_a_prompt_has_no_source(sqlite_server: Site) -> None:
    name, tag = unique("sourced"), {"key": registry.IS_PROMPT, "value": "true"}
    sqlite_server.client.post("/api/2.0/mlflow/registered-models/create", json={"name": name, "tags": [tag]})
    body = {"name": name, "source": "s3://bucket/x", "tags": [tag, {"key": registry.PROMPT_TEXT, "value": "t"}]}
    assert sqlite_server.client.post("/api/2.0/mlflow/model-versions/create", json=body).status_code == 400


@pytest.mark.usefixtures("fluent")
def test_a_prompt_is_linked_to_runs_and_models(client: MlflowClient, experiment: str) -> None:
    client.create_prompt(name := unique("linked"))
    client.create_prompt_version(name, "text")
    run = client.create_run(experiment).info.run_id
    client.link_prompt_version_to_run(run, f"prompts:/{name}/1")
    (linked,) = json.loads(client.get_run(run).data.tags["mlflow.linkedPrompts"])
    assert linked == {"name": name, "version": "1"}
    client.set_prompt_version_tag(name, "1", "mlflow.prompt.associatedRunIds", run)
    assert [one.name for one in client.list_logged_prompts(run)] == [name]
    model = client.create_logged_model(experiment).model_id
    client.link_prompt_version_to_model(name, "1", model)
    (linked,) = json.loads(client.get_logged_model(model).tags["mlflow.linkedPrompts"])
    assert linked == {"name": name, "version": "1"}


def test_prompts_are_found_by_their_experiment(client: MlflowClient, experiment: str) -> None:
    client.create_prompt(name := unique("of"), tags={"_mlflow_experiment_ids": f",{experiment},"})
    assert name in [one.name for one in client.search_prompts(f"experiment_id = '{experiment}'")]
