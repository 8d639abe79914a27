"""Copies: the same bytes under the same digest, here or in another project, with both ledgers telling of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bucle.ground.core import SimulatedClock, digest_of
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.ground.store import BlobCorrupt
from bucle.line import registry, tracking
from bucle.line.registry import Reference

ModelMaker = Callable[[float], bytes]


@pytest.fixture
def other(tmp_path: Path, clock: SimulatedClock) -> Iterator[Project]:
    """Another project, on SQLite."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "bucle.toml").write_text('[project]\nname = "live"\n')
    opened = Project.open(folder, clock=clock, actor="bob")
    yield opened
    opened.close()


def test_a_package_is_copied_with_its_digest(any_project: Project, other: Project, model_onnx: ModelMaker) -> None:
    package = registry.pack(any_project, model_onnx(1.0), files={"profile.json": b"{}"})
    first = registry.register(any_project, "m", package, metrics={"auc": 0.7}, description="d", author="eva")
    made = registry.copy_version(any_project, "m", 1, other, "n", reason="goes live")
    assert (made.model, made.version, made.digest, made.kind) == ("n", 1, first.digest, "package")
    assert (made.author, made.metrics, made.description, made.stage) == ("eva", {"auc": 0.7}, "d", "registered")
    assert registry.load_package(other, made.digest) == package
    assert other.blobs.get(package.files["profile.json"]) == b"{}"
    assert registry.verify_packages(other) == []
    for project in (any_project, other):
        assert not verify_log(project.database, project.anchor).faults


def test_both_ledgers_tell_of_it(any_project: Project, other: Project) -> None:
    registry.register_reference(any_project, "m", Reference(provider="x", id="y"), tags={"k": "v"})
    entry = any_project.ledger.events(kinds=["registry.version_registered"])[0].leaf
    made = registry.copy_version(any_project, "m", 1, other, actor="eva", reason="goes live")
    (there,) = other.ledger.events(kinds=["registry.version_registered"])
    assert there.data["copied_from"] == {"project": "test", "version": "model/m@1", "entry": entry}
    assert (there.actor, there.reason) == ("eva", "goes live")
    assert ("project/test", "copied") in {(edge.source, edge.kind) for edge in other.ledger.lineage(made.ref)}
    here = any_project.ledger.events(kinds=["registry.version_copied"])[0]
    assert (here.subject, here.data["to"], here.data["project"]) == ("model/m@1", "model/m@1", "live")
    assert registry.changes(any_project, "m")[-1].after == "live: model/m@1"
    assert made.tags == {"k": "v"}


def test_copied_again_nothing_happens_there(any_project: Project, other: Project) -> None:
    registry.register_prompt(any_project, "p", "text")
    first = registry.copy_version(any_project, "p", 1, other)
    size = other.ledger.size()
    assert registry.copy_version(any_project, "p", "latest", other) == first
    assert (other.ledger.size(), registry.model(other, "p").kind) == (size, "prompt")


def test_files_are_copied_whole(any_project: Project, other: Project) -> None:
    run = tracking.create_run(any_project, "0").id
    tracking.put_artifact(any_project, f"run/{run}", "model/a.txt", b"a")
    registry.create_model(any_project, "m")
    registry.create_version(any_project, "m", registry.files_content(any_project, f"run/{run}", "model"), run=run)
    made = registry.copy_version(any_project, "m", 1, other)
    assert registry.files_of(other, made) == {"a.txt": digest_of(b"a")}
    assert other.blobs.get(digest_of(b"a")) == b"a"


def test_a_damaged_version_is_not_copied(project: Project, other: Project, model_onnx: ModelMaker) -> None:
    package = registry.pack(project, model_onnx(1.0))
    registry.register(project, "m", package)
    project.blobs.path(package.files["model.onnx"]).write_bytes(b"other")
    with pytest.raises(BlobCorrupt):
        registry.copy_version(project, "m", 1, other)
    assert registry.models(other) == []


def test_a_version_is_copied_within_a_project(any_project: Project) -> None:
    registry.register_reference(any_project, "m", Reference(provider="x", id="y"))
    made = registry.copy_version(any_project, "m", 1, any_project, "n")
    assert ("model/m@1", "copied") in {(edge.source, edge.kind) for edge in any_project.ledger.lineage(made.ref)}
