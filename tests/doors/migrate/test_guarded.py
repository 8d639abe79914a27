"""A migration into a project whose policy guards a model: what it guards is asked for, and the report says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bucle import loop
from bucle.doors.migrate.carry import ASKED, carry_over
from bucle.doors.migrate.found import FoundLoggedModel, FoundModel, FoundRun, FoundTrace, FoundVersion
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Model, ModelVersion
from bucle.line.tracking import Experiment

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Elsewhere:
    """Has the model clf: its second version is champion and in production."""

    kind, address = "mlflow", "sqlite:///elsewhere.db"

    def experiments(self) -> list[Experiment]:
        return []

    def runs(self) -> Iterator[FoundRun]:
        return iter(())

    def logged_models(self) -> Iterator[FoundLoggedModel]:
        return iter(())

    def traces(self) -> Iterator[FoundTrace]:
        return iter(())

    def models(self) -> Iterator[FoundModel]:
        about = {"stages": {}, "updated_at": NOON, "created_at": NOON}
        versions = [
            ModelVersion(
                model="clf", version=number, digest="", stage=stage, run="", execution="", commit="", author="bo",
                created_at=NOON, updated_at=NOON, metrics={}, source=f"s3://bucket/{number}",
            )
            for number, stage in ((1, "archived"), (2, "production"))
        ]  # fmt: skip
        model = Model(name="clf", latest=2, aliases={"champion": 2, "old": 1}, **about)  # type: ignore[arg-type]
        yield FoundModel(model, [FoundVersion(one, "", "") for one in versions])

    def left(self) -> dict[str, int]:
        return {"webhooks": 1}

    def faults(self) -> list[Fault]:
        return []

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def policed(any_project: Project) -> Iterator[Project]:
    labels = 'labels = { table = "t", entity = "e", label = "l", known_at = "k" }'
    path = any_project.root / "bucle.toml"
    path.write_text(f'[project]\nname = "test"\n[loop.clf]\npipeline = "p"\napprovals = 1\n{labels}\n')
    url = "" if any_project.database.is_sqlite else any_project.database.url
    opened = Project.open(any_project.root, database=url, clock=any_project.clock, actor="ana")
    yield opened
    opened.close()


def test_what_a_policy_guards_is_counted_as_asked_for_and_is_no_fault(policed: Project) -> None:
    for _ in range(2):
        report = carry_over(policed, Elsewhere())
        assert report.faults == ()
        assert report.left == {"webhooks": 1, ASKED: 2}
    assert registry.model(policed, "clf").aliases == {"old": 1}
    assert {one.target for one in loop.promotions(policed)} == {"stage production", "alias champion"}


def test_without_a_policy_everything_comes_as_it_was(any_project: Project) -> None:
    report = carry_over(any_project, Elsewhere())
    assert (report.faults, report.left) == ((), {"webhooks": 1})
    assert registry.version(any_project, "clf", "champion").stage == "production"


def test_a_version_that_was_deleted_here_stays_away_and_the_report_says_why(any_project: Project) -> None:
    carry_over(any_project, Elsewhere())
    registry.delete_version(any_project, "clf", 1)
    report = carry_over(any_project, Elsewhere())
    told = [(one.where, one.what) for one in report.faults]
    assert told[0] == ("model/clf@1", "was deleted here, and its number is never given again")
    assert [one.version for one in registry.versions(any_project, "clf")] == [2]
