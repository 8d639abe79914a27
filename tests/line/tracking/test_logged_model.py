"""Logged models: kept on the ledger, measured beside it, found by what was measured."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import BadFilter
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import LoggedModel, ModelOrder, ModelPoint


def made(project: Project, name: str = "", **given: object) -> LoggedModel:
    return tracking.create_logged_model(project, "0", name=name, **given)  # type: ignore[arg-type]


def point(value: float, *, key: str = "acc", at: int = 1, step: int = 0, on: str = "") -> ModelPoint:
    return ModelPoint(
        key=key, value=value, at=at, step=step, run_id="r", dataset_name=on, dataset_digest=on and f"d{on}"
    )


def test_a_model_stands_on_the_ledger_with_the_run_that_made_it(any_project: Project) -> None:
    run = tracking.create_run(any_project, "0")
    model = made(any_project, "net", run_id=run.id, params={"depth": "3"}, tags={"team": "fraud"})
    tracking.finish_logged_model(any_project, model.id, "ready")
    found = tracking.logged_model(any_project, model.id)
    assert (found.status, found.params, found.tags) == ("ready", {"depth": "3"}, {"team": "fraud"})
    (edge,) = any_project.ledger.lineage(model.ref)
    assert (edge.source, edge.kind) == (f"run/{run.id}", "produced")
    kinds = [event.kind for event in any_project.ledger.events(subject=model.ref)]
    assert kinds == ["tracking.model_logged", "tracking.model_ready"]
    assert not verify_log(any_project.database, any_project.anchor).faults


def test_a_tag_changed_behind_the_ledgers_back_is_found(any_project: Project) -> None:
    from bucle.line.tracking.logged_model_tables import LOGGED_MODEL_TAGS

    made(any_project, tags={"team": "fraud"})
    with any_project.database.writing() as connection:
        connection.execute(LOGGED_MODEL_TAGS.update().values(value="churn"))
    assert verify_log(any_project.database, any_project.anchor).faults


def test_a_param_is_written_once(any_project: Project) -> None:
    model = made(any_project, params={"a": "1"})
    tracking.log_model_params(any_project, model.id, {"a": "1", "b": "2"})
    with pytest.raises(tracking.AlreadySet, match="'a'"):
        tracking.log_model_params(any_project, model.id, {"a": "2"})
    assert tracking.logged_model(any_project, model.id).params == {"a": "1", "b": "2"}


def test_measurements_count_once_and_keep_what_is_no_number(any_project: Project) -> None:
    model = made(any_project)
    points = [point(0.5), point(math.nan, step=1), point(math.inf, step=2)]
    for _ in range(2):
        tracking.log_model_points(any_project, {model.id: points})
    found = tracking.logged_model(any_project, model.id).metrics
    assert [one.step for one in found] == [0, 1, 2]
    assert math.isnan(found[1].value)
    assert found[2].value == math.inf


def test_a_measurement_of_an_unknown_model_is_refused(any_project: Project) -> None:
    with pytest.raises(tracking.NoSuchLoggedModel):
        tracking.log_model_points(any_project, {"m-0": [point(1)]})


def test_a_deleted_model_is_not_found(any_project: Project) -> None:
    model = made(any_project)
    tracking.delete_logged_model(any_project, model.id)
    assert tracking.search_logged_models(any_project, ["0"]).items == ()
    with pytest.raises(tracking.NoSuchLoggedModel):
        tracking.logged_model(any_project, model.id)
    assert tracking.logged_model(any_project, model.id, deleted=True).lifecycle == "deleted"


def test_no_model_is_logged_in_a_deleted_experiment(any_project: Project) -> None:
    experiment = tracking.create_experiment(any_project, "gone").id
    tracking.delete_experiment(any_project, experiment)
    with pytest.raises(tracking.ExperimentDeleted):
        tracking.create_logged_model(any_project, experiment)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "x" * 501])
def test_a_name_that_would_not_stand_in_an_address_is_refused(project: Project, name: str) -> None:
    with pytest.raises((tracking.BadLoggedModel, tracking.BadText)):
        made(project, name)


def test_an_order_nobody_knows_is_refused_with_what_there_is(project: Project) -> None:
    with pytest.raises(BadFilter, match="shoe") as caught:
        tracking.search_logged_models(project, ["0"], order_by=[ModelOrder(field="shoe_size")])
    assert "creation_timestamp" in caught.value.why


def test_a_token_of_another_search_is_refused(project: Project) -> None:
    for _ in range(3):
        made(project)
    token = tracking.search_logged_models(project, ["0"], limit=1).token
    with pytest.raises(tracking.BadToken):
        tracking.search_logged_models(project, ["0"], limit=1, filter="name = 'x'", token=token)


VALUES = st.none() | st.sampled_from([0.0, 0.25, 0.5, -1.0, math.nan, math.inf])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8),
    ascending=st.booleans(),
    limit=st.integers(1, 4),
    on=st.sampled_from(["", "A", "B"]),
)
def test_pages_follow_the_order_whatever_was_measured(
    any_project: Project, values: list[tuple[float | None, float | None]], ascending: bool, limit: int, on: str
) -> None:
    experiment = tracking.create_experiment(any_project, f"e{any_project.ledger.size()}").id
    newest = {}
    for on_a, on_b in values:
        model = tracking.create_logged_model(any_project, experiment)
        points = [point(v, at=at, on=name) for at, (name, v) in enumerate((("A", on_a), ("B", on_b))) if v is not None]
        tracking.log_model_points(any_project, {model.id: points})
        counted = [one.value for one in points if not on or one.dataset_name == on]
        newest[model.id] = counted[-1] if counted and not math.isnan(counted[-1]) else None
    order = [ModelOrder(field="metrics.acc", ascending=ascending, dataset_name=on)]
    seen, token, more = [], "", True
    while more:
        page = tracking.search_logged_models(any_project, [experiment], order_by=order, limit=limit, token=token)
        seen += [model.id for model in page.items]
        token, more = page.token, bool(page.token)
    assert sorted(seen) == sorted(newest)
    found = [newest[id_] for id_ in seen]
    numbers = [value for value in found if value is not None]
    assert numbers == sorted(numbers, reverse=not ascending)
    assert found == numbers + [None] * (len(found) - len(numbers))
