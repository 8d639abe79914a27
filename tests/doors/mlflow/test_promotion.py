"""Promotions asked for by MLflow's client: refused with what is missing, granted once it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bucle.ground import governance
from bucle.line import registry
from doors.conftest import Site, served

if TYPE_CHECKING:
    from mlflow import MlflowClient

POLICY = """
[loop.m]
pipeline = "p"
approvals = 1
labels = { table = "t", entity = "e", label = "l", known_at = "k" }
"""


@pytest.fixture(params=["http", "bucle"])
def guarded(request: pytest.FixtureRequest, root: Path) -> Iterator[tuple[Site, str]]:
    """A project in which one person must approve each version of m, and how a client reaches it."""
    (root / "bucle.toml").write_text(f'[project]\nname = "t"\n{POLICY}')
    with served(root) as site:
        yield site, site.url if request.param == "http" else f"bucle://{root}"


def test_an_alias_and_a_stage_wait_for_approval(guarded: tuple[Site, str]) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    site, uri = guarded
    client: MlflowClient = MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = client.create_run("0", tags={"mlflow.user": "ana"}).info.run_id
    client.log_text(run, "weights", "model/weights.bin")
    client.create_registered_model("m")
    client.create_model_version("m", f"runs:/{run}/model", run)
    for call in (
        lambda: client.set_registered_model_alias("m", "champion", "1"),
        lambda: client.transition_model_version_stage("m", "1", "Production"),
    ):
        with pytest.raises(MlflowException) as caught:
            call()
        assert caught.value.error_code == "PERMISSION_DENIED"
        assert "0 of 1 approvals" in caught.value.message
        assert "bucle model approve m@1 --as NAME" in caught.value.message
    assert client.get_registered_model("m").aliases == {}
    client.set_registered_model_alias("m", "candidate", "1")
    found = registry.version(site.project, "m", 1)
    assert found.author == "ana"
    governance.approve(site.project, found.ref, digest=found.digest, principal="eva", author="ana", reason="seen")
    client.set_registered_model_alias("m", "champion", "1")
    assert client.transition_model_version_stage("m", "1", "Production").current_stage == "Production"
    with pytest.raises(MlflowException, match="cannot be taken away"):
        client.delete_registered_model_alias("m", "champion")
    with pytest.raises(MlflowException, match="guards"):
        client.delete_registered_model("m")


def test_the_answer_over_http_is_a_403(guarded: tuple[Site, str]) -> None:
    site, _ = guarded
    registry.register_reference(site.project, "m", registry.Reference(provider="x", id="y"))
    body = {"name": "m", "alias": "champion", "version": "1"}
    answer = site.client.post("/api/2.0/mlflow/registered-models/alias", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
