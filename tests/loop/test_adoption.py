"""What comes from another registry comes under the policy it has here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bucle import loop
from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Content, Model, ModelVersion

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
STAGES = ("archived", "production", "validated")


def elsewhere(name: str) -> tuple[Model, list[tuple[ModelVersion, Content]]]:
    """Three versions; the second is champion and in production, the third a candidate."""
    aliases = {"champion": 2, "candidate": 3}
    model = Model(name=name, latest=3, aliases=aliases, stages={}, updated_at=NOON, created_at=NOON)
    about = {"model": name, "digest": "", "run": "", "execution": "", "commit": "", "author": "bo", "metrics": {}}
    return model, [
        (
            ModelVersion(version=number, stage=stage, created_at=NOON, updated_at=NOON, **about),  # type: ignore[arg-type]
            Content(kind="files", digest=f"{number:064x}"),
        )
        for number, stage in enumerate(STAGES, start=1)
    ]


@pytest.fixture
def policed(any_project: Project) -> Iterator[Project]:
    """A project whose policy wants one approval of every champion of clf."""
    labels = 'labels = { table = "t", entity = "e", label = "l", known_at = "k" }'
    path = any_project.root / "bucle.toml"
    path.write_text(f'[project]\nname = "test"\n[loop.clf]\npipeline = "p"\napprovals = 1\n{labels}\n')
    url = "" if any_project.database.is_sqlite else any_project.database.url
    opened = Project.open(any_project.root, database=url, clock=any_project.clock, actor="ana")
    yield opened
    opened.close()


def test_what_the_policy_guards_comes_as_a_request(policed: Project) -> None:
    made = loop.adopt_model(policed, *elsewhere("clf"), reason="imported")
    assert made.adoption.new == (1, 2, 3)
    assert made.asked == ((2, "stage production"), (2, "alias champion"))
    assert registry.model(policed, "clf").aliases == {"candidate": 3}
    assert [one.stage for one in registry.versions(policed, "clf")] == ["archived", "validated", "validated"]
    wishes = loop.promotions(policed, "clf")
    assert {(one.version, one.target, len(one.missing)) for one in wishes} == {
        (2, "stage production", 1),
        (2, "alias champion", 1),
    }


def test_a_request_that_came_so_is_fulfilled_like_any_other(policed: Project) -> None:
    loop.adopt_model(policed, *elsewhere("clf"), reason="imported")
    found = registry.version(policed, "clf", 2)
    governance.approve(policed, found.ref, digest=found.digest, principal="eva", author="bo", reason="")
    loop.set_alias(policed, "clf", "champion", 2)
    loop.transition(policed, "clf", 2, "production")
    size = policed.ledger.size()
    assert loop.adopt_model(policed, *elsewhere("clf"), reason="imported").asked == ()
    assert (loop.promotions(policed), policed.ledger.size()) == ([], size)


def test_taken_over_again_each_request_stands_there_once(policed: Project) -> None:
    first = loop.adopt_model(policed, *elsewhere("clf"), reason="imported")
    size = policed.ledger.size()
    again = loop.adopt_model(policed, *elsewhere("clf"), reason="imported")
    assert (again.asked, again.adoption.new, policed.ledger.size()) == (first.asked, (), size)


def test_where_no_policy_guards_everything_is_as_it_was_there(policed: Project) -> None:
    made = loop.adopt_model(policed, *elsewhere("free"), reason="imported")
    assert made.asked == ()
    assert registry.version(policed, "free", "champion").stage == "production"
