"""Models of another registry, with the numbers, stages and aliases they had there."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from bucle.ground.ledger import Transaction, verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Content, Model, ModelVersion
from bucle.line.registry.tables import VERSION_TAGS, VERSIONS
from line.registry.rival import overtaken

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
    assert registry.adopt_model(any_project, model(), found).new == (3, 7)
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
    assert registry.adopt_model(any_project, model(), [version(3, stage="archived")]).new == ()
    assert any_project.ledger.size() == size
    assert registry.adopt_model(any_project, model(), [version(3), version(9)]).new == (9,)
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


def test_a_number_that_was_deleted_here_is_never_used_again(any_project: Project) -> None:
    registry.adopt_model(any_project, model(aliases={}), [version(3), version(7)])
    registry.delete_version(any_project, "clf", 7)
    made = registry.adopt_model(any_project, model(aliases={"old": 7}), [version(3), version(7), version(8)])
    assert (made.new, made.spent) == ((8,), (7,))
    assert [one.version for one in registry.versions(any_project, "clf")] == [3, 8]
    assert registry.model(any_project, "clf").aliases == {}
    registry.delete_model(any_project, "clf")
    made = registry.adopt_model(any_project, model(), [version(3), version(8), version(9)])
    assert (made.new, made.spent) == ((9,), (3, 8))
    assert registry.register_prompt(any_project, "clf", "hello").version == 10


def test_a_number_deleted_while_it_is_taken_over_stays_free(any_project: Project) -> None:
    registry.adopt_model(any_project, model(aliases={}), [version(3), version(7)])

    def deleted(tx: Transaction) -> None:
        tx.delete_all(VERSION_TAGS, {"model": "clf", "version": 7})
        tx.delete(VERSIONS, {"model": "clf", "version": 7})

    overtaken(
        any_project,
        lambda: registry.adopt_model(any_project, model(), [version(3), version(7), version(8)]),
        deleted,
    )
    assert [one.version for one in registry.versions(any_project, "clf")] == [3, 8]


def test_an_alias_does_not_come_to_name_other_bytes_than_it_names_there(any_project: Project) -> None:
    registry.register_prompt(any_project, "clf", "ours")
    registry.adopt_model(any_project, model(aliases={"champion": 1}), [version(1), version(3)])
    assert registry.model(any_project, "clf").aliases == {}


@pytest.mark.parametrize(
    "wrong",
    [
        [version(0)],
        [version(2**31)],
        [version(3), version(3)],
        [version(3, model="other")],
        [version(3, stage="live")],
        [version(3, description="a\x00b")],
        [version(3, source="\ud800")],
    ],
)
def test_what_no_registry_can_keep_is_refused_before_anything_is_written(
    any_project: Project, wrong: list[tuple[ModelVersion, Content]]
) -> None:
    with pytest.raises(registry.BadText):
        registry.adopt_model(any_project, model(), wrong)
    assert any_project.ledger.size() == 0
    assert registry.models(any_project) == []


def test_the_history_tells_what_was_taken_over(any_project: Project) -> None:
    registry.adopt_model(any_project, model(), [version(3), version(7)])
    told = {(one.what, one.version, one.after) for one in registry.changes(any_project, "clf")}
    assert told == {("version", 3, f"{3:064x}"), ("version", 7, f"{7:064x}"), ("alias champion", 3, "3")}
