"""What versions are bound to: files, texts and references, beside packages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bucle.ground.core import digest_of
from bucle.ground.project import Project
from bucle.line import registry, tracking
from bucle.line.registry import Reference

ModelMaker = Callable[[float], bytes]


def logged(project: Project) -> str:
    """A run with a folder of files."""
    run = tracking.create_run(project, "0").id
    for path, content in (("model/a.txt", b"a"), ("model/sub/b.txt", b"b"), ("notes.txt", b"n")):
        tracking.put_artifact(project, f"run/{run}", path, content)
    return run


def test_a_version_of_files_is_bound_to_the_digest_of_their_tree(any_project: Project) -> None:
    run = logged(any_project)
    registry.create_model(any_project, "m")
    content = registry.files_content(any_project, f"run/{run}", "model")
    made = registry.create_version(any_project, "m", content, run=run, source=f"runs:/{run}/model")
    assert (made.kind, made.digest) == ("files", tracking.tree_digest(any_project, f"run/{run}", "model"))
    tracking.put_artifact(any_project, f"run/{run}", "model/a.txt", b"changed")
    tracking.delete_artifacts(any_project, f"run/{run}", "model/sub")
    assert registry.files_of(any_project, made) == {"a.txt": digest_of(b"a"), "sub/b.txt": digest_of(b"b")}
    assert registry.tree(any_project, made.digest)["a.txt"].size_bytes == 1
    above = {(edge.source, edge.kind) for edge in any_project.ledger.lineage(made.ref)}
    assert {(f"run/{run}", "produced"), (f"tree/{made.digest}", "packaged")} <= above
    whole = registry.files_content(any_project, f"run/{run}")
    assert whole.digest == tracking.tree_digest(any_project, f"run/{run}")


def test_one_file_is_a_tree_of_one(any_project: Project) -> None:
    run = logged(any_project)
    registry.create_model(any_project, "m")
    content = registry.files_content(any_project, f"run/{run}", "notes.txt")
    made = registry.create_version(any_project, "m", content)
    assert registry.files_of(any_project, made) == {"notes.txt": digest_of(b"n")}


def test_the_same_content_is_numbered_anew_when_a_client_asks(any_project: Project) -> None:
    content = registry.prompt_content("text")
    registry.create_model(any_project, "p", tags={registry.IS_PROMPT: "true"})
    numbers = [registry.create_version(any_project, "p", content).version for _ in range(2)]
    assert numbers == [1, 2]
    with pytest.raises(registry.NoSuchModel):
        registry.create_version(any_project, "q", content)


def test_a_reference_tells_what_it_refers_to(any_project: Project) -> None:
    given = Reference(provider="huggingface", id="some/model", version="3f1c", licence="Apache-2.0", hash="sha256:0")
    made = registry.register_reference(any_project, "base", given, tags={"family": "x"})
    assert (made.kind, made.source, made.tags) == ("reference", "huggingface:some/model", {"family": "x"})
    assert registry.reference(any_project, made) == given
    other = registry.register_reference(any_project, "base", Reference(provider="huggingface", id="some/model"))
    assert other.digest != made.digest
    assert registry.reference(any_project, other).licence == ""


def test_only_packages_can_be_served(any_project: Project, model_onnx: ModelMaker) -> None:
    packed = registry.register(any_project, "m", registry.pack(any_project, model_onnx(1.0)))
    assert registry.package_of(any_project, packed).digest == packed.digest
    prompt = registry.register_prompt(any_project, "p", "text")
    with pytest.raises(registry.NotPackaged, match="a prompt"):
        registry.package_of(any_project, prompt)
    with pytest.raises(registry.NotPackaged):
        registry.check_packaged(prompt)
    with pytest.raises(registry.NotPackaged):
        registry.reference(any_project, prompt)


def test_a_prompts_text_never_changes(any_project: Project) -> None:
    registry.register_prompt(any_project, "p", "text")
    with pytest.raises(registry.BadTag, match="cannot be changed"):
        registry.set_version_tag(any_project, "p", 1, registry.PROMPT_TEXT, "other")
    with pytest.raises(registry.BadTag):
        registry.delete_version_tag(any_project, "p", 1, registry.PROMPT_TEXT)
    registry.set_version_tag(any_project, "p", 1, registry.PROMPT_TEXT, "text")  # the same: nothing to change


def test_damage_of_every_kind_is_found_and_named(project: Project, model_onnx: ModelMaker) -> None:
    run = logged(project)
    registry.create_model(project, "files")
    registry.create_version(project, "files", registry.files_content(project, f"run/{run}", "model"))
    registry.register_reference(project, "ref", Reference(provider="x", id="y"))
    registry.register(project, "pack", registry.pack(project, model_onnx(1.0)))
    registry.register_prompt(project, "prompt", "text")
    assert registry.verify_packages(project) == []
    project.blobs.path(digest_of(b"b")).write_bytes(b"other")
    project.blobs.path(registry.version(project, "ref", 1).digest).unlink()
    with project.database.writing() as connection:
        connection.exec_driver_sql("UPDATE model_version_tags SET value = 'words' WHERE value = 'text'")
    found = {fault.where for fault in registry.verify_packages(project)}
    assert found == {"sub/b.txt of model/files@1", "description of model/ref@1", "text of model/prompt@1"}


def test_only_the_digests_of_versions_can_be_read_as_trees(project: Project) -> None:
    content = registry.files_content(project, f"run/{logged(project)}", "model")
    for digest in (content.digest, "0" * 64, "nonsense"):
        with pytest.raises(registry.NoSuchPackage):
            registry.tree(project, digest)
