"""Models of another registry, with the numbers, stages and aliases they had there."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Content, Model, ModelVersion

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def model(**given: object) -> Model:
    about = {"latest": 7, "aliases": {"champion": 3}, "stages": {}, "updated_at": NOON, "created_at": NOON, **given}
    return Model(name="clf", description="reads", tags={"team": "vision"}, **about)  # type: ignore[arg-type]


def version(number: int, **given: object) -> tuple[ModelVersion, Content]:
    about: dict[str, object] = {
        "model": "clf", "version": number, "digest": "", "stage": "registered", "run": f"r{number}", "execution": "",
        "commit": "", "author": "bo", "created_at": NOON, "updated_at": NOON, "metrics": {}, "tags": {"n": str(number)},
        **given,
    }  # fmt: skip
    return ModelVersion(**about), Content(kind="files", digest=f"{number:064x}")  # type: ignore[arg-type]


def test_numbers_stages_aliases_and_instants_are_kept(any_project: Project) -> None:
    found = [version(3, stage="production"), version(7)]
    assert registry.adopt_model(any_project, model(), found) == 2
    kept = registry.versions(any_project, "clf")
    assert [(one.version, one.stage, one.author, one.created_at, one.run) for one in kept] == [
        (3, "production", "bo", NOON, "r3"),
        (7, "registered", "bo", NOON, "r7"),
    ]
    assert kept[0].aliases == ("champion",)
    assert kept[0].tags == {"n": "3"}
    assert registry.model(any_project, "clf").tags == {"team": "vision"}
    assert any_project.ledger.lineage("model/clf@3")


def test_the_next_version_gets_the_next_number(any_project: Project) -> None:
    registry.adopt_model(any_project, model(), [version(3), version(7)])
    assert registry.register_prompt(any_project, "clf", "hello").version == 8


def test_adopting_again_changes_nothing_and_adds_what_is_new(any_project: Project) -> None:
    registry.adopt_model(any_project, model(), [version(3)])
    size = any_project.ledger.size()
    assert registry.adopt_model(any_project, model(), [version(3, stage="archived")]) == 0
    assert any_project.ledger.size() == size
    assert registry.adopt_model(any_project, model(), [version(3), version(9)]) == 1
    assert [one.stage for one in registry.versions(any_project, "clf")] == ["registered", "registered"]


def test_an_alias_of_ours_stays(any_project: Project) -> None:
    registry.adopt_model(any_project, model(aliases={}), [version(3), version(7)])
    registry.set_alias(any_project, "clf", "champion", 7, actor="ana", reason="ours")
    registry.adopt_model(any_project, model(), [version(3), version(7), version(8)])
    assert registry.version(any_project, "clf", "champion").version == 7


def test_everything_stands_on_the_ledger(any_project: Project) -> None:
    registry.adopt_model(any_project, model(), [version(3), version(7)])
    assert verify_log(any_project.database, any_project.anchor).faults == ()
    (event,) = any_project.ledger.events(kinds=["registry.model_adopted"])
    assert event.data["versions"] == {"3": f"{3:064x}", "7": f"{7:064x}"}


@pytest.mark.parametrize("name", ["", "team/clf", "a:b"])
def test_a_name_no_model_bears_is_refused(project: Project, name: str) -> None:
    with pytest.raises(registry.BadModelName):
        registry.adopt_model(project, msgspec.structs.replace(model(), name=name), [])
