"""The pages of models: what a version is, what it may become, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bucle import loop
from bucle.doors.ui.links import link_of
from bucle.doors.ui.pages.models import model, models
from bucle.doors.ui.pages.passport import passport
from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference
from doors.conftest import Site, served

TOML = """
[project]
name = "guarded"
[loop.writer]
pipeline = "retrain"
approvals = 1
[loop.writer.labels]
table = "truth"
entity = "id"
label = "good"
known_at = "at"
"""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Project]:
    """A project whose model `writer` wants one approval."""
    (tmp_path / "bucle.toml").write_text(TOML)
    opened = Project.open(tmp_path, actor="ana")
    yield opened
    opened.close()


def refer(project: Project, name: str, version: str = "1") -> registry.ModelVersion:
    given = Reference(provider="huggingface", id=f"org/{name}", version=version, licence="Apache-2.0")
    return registry.register_reference(project, name, given)


def test_a_passport_says_what_a_version_lacks_and_who_asked(guarded: Project) -> None:
    made = refer(guarded, "writer")
    before = passport(guarded, model="writer", version="1")
    assert (before.reference.licence, before.version.kind, before.package) == ("Apache-2.0", "reference", None)  # type: ignore[union-attr]
    assert ["approvals" in lack.what for lack in before.lacks] == [True]
    with pytest.raises(loop.NotYetPromotable):
        loop.set_alias(guarded, "writer", "champion", 1, actor="bea", reason="it reads better")
    asked = passport(guarded, model="writer", version="latest")
    assert [(one.target, len(one.missing)) for one in asked.promotions] == [("alias champion", 1)]
    assert [one.what for one in asked.changes] == ["promotion to alias champion", "version"]
    assert model(guarded, model="writer").promotions == asked.promotions
    governance.approve(guarded, made.ref, digest=made.digest, principal="bea", author=made.author, reason="read it")
    loop.set_alias(guarded, "writer", "champion", 1, actor="bea", reason="it reads better")
    after = passport(guarded, model="writer", version="champion")
    assert (after.lacks, after.promotions, after.version.aliases) == ((), (), ("champion",))
    assert [one.principal for one in after.approvals] == ["bea"]
    assert after.changes[0].what == "alias champion"
    assert (after.changes[0].actor, after.changes[0].reason) == ("bea", "it reads better")


def test_versions_lead_to_their_neighbours(project: Project) -> None:
    for number in range(3):
        refer(project, "writer", str(number))
    assert [passport(project, model="writer", version=str(n)).neighbours for n in (1, 2, 3)] == [
        (None, 2),
        (1, 3),
        (2, None),
    ]


def test_prompts_stand_apart_from_models(project: Project) -> None:
    refer(project, "writer")
    registry.create_model(project, "greeting", tags={registry.IS_PROMPT: "true"})
    found = models(project)
    assert ([row.model.name for row in found.models], found.counts) == (["writer"], {"model": 1, "prompt": 1})
    assert [row.model.name for row in models(project, kind="prompt").models] == ["greeting"]
    assert models(project, q="WRI").total == 1
    assert models(project, q="nothing").total == 0


def test_a_model_of_any_name_has_its_pages(root: Path) -> None:
    odd = "café @ 50% <b>*"
    with served(root) as site:
        made = refer(site.project, odd)
        for page in ("/models", link_of(made.ref), link_of(registry.model_ref(odd))):
            answer = site.get(page)
            assert answer.status_code == 200, page
            assert "café @ 50% &lt;b&gt;*" in answer.text
            assert "<b>*" not in answer.text
        listed = site.json("/models.json")["models"][0]["model"]["name"]
        assert listed == odd
        check_neighbour_links(site, made.ref)


def check_neighbour_links(site: Site, ref: str) -> None:
    registry.register_reference(site.project, registry.model_of(ref)[0], Reference(provider="x", id="y"))
    assert f'href="{link_of(ref).removesuffix("/1")}/2"' in site.get(link_of(ref)).text
