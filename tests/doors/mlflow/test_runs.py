"""Runs through the real client: what is logged comes back, and searches find it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from doors.mlflow.conftest import unique

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def run(client: MlflowClient, experiment: str) -> str:
    return client.create_run(experiment).info.run_id


def refused(code: str = "INVALID_PARAMETER_VALUE", match: str = "") -> Any:
    from mlflow.exceptions import MlflowException

    class Refused:
        def __enter__(self) -> Refused:
            self.context = pytest.raises(MlflowException, match=match)
            self.caught = self.context.__enter__()
            return self

        def __exit__(self, *args: Any) -> bool:
            done = self.context.__exit__(*args)
            assert self.caught.value.error_code == code
            return bool(done)

    return Refused()


def test_a_run_comes_back_as_it_was_made(client: MlflowClient, experiment: str) -> None:
    made = client.create_run(experiment, start_time=1234, tags={"a": "b"}, run_name="first")
    found = client.get_run(made.info.run_id)
    assert found.info == made.info
    assert (found.info.run_name, found.info.start_time, found.info.status) == ("first", 1234, "RUNNING")
    assert found.data.tags == {"a": "b", "mlflow.runName": "first"}
    assert found.info.experiment_id == experiment


def test_a_run_without_a_name_gets_one(client: MlflowClient, run: str) -> None:
    found = client.get_run(run)
    assert found.info.run_name
    assert found.data.tags["mlflow.runName"] == found.info.run_name


def test_two_names_for_one_run_are_refused(client: MlflowClient, experiment: str) -> None:
    with refused(match="runName"):
        client.create_run(experiment, tags={"mlflow.runName": "x"}, run_name="y")
    assert client.create_run(experiment, tags={"mlflow.runName": "x"}).info.run_name == "x"


def test_params_tags_and_metrics_come_back(client: MlflowClient, run: str) -> None:
    client.log_param(run, "lr", 0.1)
    client.log_param(run, "größe/ñ", "模型")
    client.set_tag(run, "team", "fraud")
    client.log_metric(run, "loss", 0.5, timestamp=10, step=1)
    client.log_metric(run, "loss", 0.25, timestamp=20, step=2)
    data = client.get_run(run).data
    assert data.params == {"lr": "0.1", "größe/ñ": "模型"}
    assert data.tags["team"] == "fraud"
    assert data.metrics == {"loss": 0.25}
    assert [(m.step, m.timestamp) for m in data._metric_objs] == [(2, 20)]


def test_the_last_value_is_that_of_the_last_step_whenever_it_came(client: MlflowClient, run: str) -> None:
    for step, value in ((5, 0.5), (9, 0.9), (7, 0.7)):
        client.log_metric(run, "m", value, step=step)
    assert client.get_run(run).data.metrics["m"] == 0.9


def test_a_param_is_written_once(client: MlflowClient, run: str) -> None:
    client.log_param(run, "p", "1")
    client.log_param(run, "p", "1")
    with refused(match="p"):
        client.log_param(run, "p", "2")
    assert client.get_run(run).data.params == {"p": "1"}


def test_a_tag_changes_and_goes(client: MlflowClient, run: str) -> None:
    client.set_tag(run, "t", "1")
    client.set_tag(run, "t", "2")
    assert client.get_run(run).data.tags["t"] == "2"
    client.delete_tag(run, "t")
    assert "t" not in client.get_run(run).data.tags
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.delete_tag(run, "t")


def test_a_key_too_long_is_refused_and_a_value_too_long_is_cut(client: MlflowClient, run: str) -> None:
    with refused():
        client.log_metric(run, "k" * 251, 1)
    with refused():
        client.log_param(run, "k" * 251, "1")
    client.log_param(run, "long", "v" * 6001)
    client.set_tag(run, "long", "v" * 8001)
    data = client.get_run(run).data
    assert (len(data.params["long"]), len(data.tags["long"])) == (6000, 8000)


def test_a_run_ends_and_is_named_anew(client: MlflowClient, run: str) -> None:
    client.set_terminated(run, status="FAILED", end_time=5_000)
    client.update_run(run, name="renamed")
    found = client.get_run(run)
    assert (found.info.status, found.info.end_time, found.info.run_name) == ("FAILED", 5_000, "renamed")
    assert found.data.tags["mlflow.runName"] == "renamed"


def test_a_deleted_run_takes_nothing_until_it_is_restored(client: MlflowClient, run: str) -> None:
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    with refused():
        client.log_metric(run, "m", 1)
    client.restore_run(run)
    client.log_metric(run, "m", 1)
    assert client.get_run(run).data.metrics == {"m": 1}


def test_a_batch_is_logged_and_split_by_the_client(client: MlflowClient, run: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client.log_batch(
        run,
        metrics=[Metric("m", step / 3, 100 + step, step) for step in range(900)],
        params=[Param(f"p{n}", str(n)) for n in range(50)],
        tags=[RunTag(f"t{n}", str(n)) for n in range(50)],
    )
    data = client.get_run(run).data
    assert (len(data.params), data.metrics["m"]) == (50, 899 / 3)
    history = client.get_metric_history(run, "m")
    assert [(one.step, one.timestamp, one.value) for one in history] == [(s, 100 + s, s / 3) for s in range(900)]


def test_a_long_history_is_paged(client: MlflowClient, run: str) -> None:
    from mlflow.entities import Metric

    for start in range(0, 3000, 1000):
        client.log_batch(run, [Metric("m", float(s), s, s) for s in range(start, start + 1000)])
    pages, token, more = [], None, True
    while more:
        page = client._tracking_client.store.get_metric_history(run, "m", max_results=700, page_token=token)
        pages.append([one.step for one in page])
        token, more = page.token, bool(page.token)
    assert [len(page) for page in pages] == [700, 700, 700, 700, 200]
    assert [step for page in pages for step in page] == list(range(3000))


def test_a_curve_is_sampled_with_its_first_and_last_point(client: MlflowClient, run: str) -> None:
    from mlflow.entities import Metric

    client.log_batch(run, [Metric("m", float(s), s, s) for s in range(1000)])
    store = client._tracking_client.store
    sampled = store.get_metric_history_bulk_interval([run], "m", 50, None, None)
    steps = [one.step for one in sampled]
    assert len(steps) <= 50 + 2
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 999)
    within = store.get_metric_history_bulk_interval([run], "m", 50, 100, 120)
    assert {one.step for one in within} <= set(range(100, 121))
    assert {one.run_id for one in sampled} == {run}


def test_values_that_are_no_numbers_come_back(client: MlflowClient, run: str) -> None:
    for key, value in (("nan", math.nan), ("up", math.inf), ("down", -math.inf)):
        client.log_metric(run, key, value)
    metrics = client.get_run(run).data.metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["up"], metrics["down"]) == (math.inf, -math.inf)
    assert math.isnan(client.get_metric_history(run, "nan")[0].value)


def test_a_run_in_a_deleted_experiment_cannot_be_made(client: MlflowClient, experiment: str) -> None:
    client.delete_experiment(experiment)
    with refused():
        client.create_run(experiment)


def test_inputs_and_outputs_are_kept(client: MlflowClient, run: str, experiment: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput

    model = client.create_logged_model(experiment, name="m", source_run_id=run)
    data = Dataset("train", "abc", "local", '{"uri": "x"}', schema='{"a": 1}', profile='{"rows": 2}')
    given = DatasetInput(data, [InputTag("mlflow.data.context", "training")])
    client.log_inputs(run, [given], models=[LoggedModelInput(model.model_id)])
    client.log_outputs(run, [LoggedModelOutput(model.model_id, 3)])
    found = client.get_run(run)
    (seen,) = found.inputs.dataset_inputs
    assert seen.dataset.to_dictionary() == data.to_dictionary()
    assert [(tag.key, tag.value) for tag in seen.tags] == [("mlflow.data.context", "training")]
    assert [one.model_id for one in found.inputs.model_inputs] == [model.model_id]
    assert [(one.model_id, one.step) for one in found.outputs.model_outputs] == [(model.model_id, 3)]


class Many(NamedTuple):
    experiment: str
    runs: dict[str, str]


def twelve(client: MlflowClient) -> Many:
    """Twelve runs by name; `acc` rises with the number, every third has none."""
    from mlflow.entities import Metric, Param, RunTag

    experiment, made = client.create_experiment(unique("many")), {}
    for number in range(12):
        run = client.create_run(experiment, start_time=1000 + number, run_name=f"run-{number:02}")
        made[run.info.run_name] = run.info.run_id
        client.log_batch(
            run.info.run_id,
            [Metric("acc", number / 10, 1, 0)] if number % 3 else [],
            [Param("model", "tree" if number % 2 else "line"), Param("depth", str(number))],
            [RunTag("team", "Fraud" if number < 6 else "churn")],
        )
        if number % 4 == 0:
            client.set_terminated(run.info.run_id, "FINISHED", end_time=2000)
    return Many(experiment, made)


@pytest.fixture(scope="module")
def kept() -> dict[str, Many]:
    return {}


@pytest.fixture
def many(client: MlflowClient, mlflow_uri: str, kept: dict[str, Many]) -> Many:
    """As `twelve`, made once for all tests that only read."""
    if mlflow_uri not in kept:
        kept[mlflow_uri] = twelve(client)
    return kept[mlflow_uri]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("metrics.acc > 0.5", [7, 8, 10, 11]),
        ("metrics.`acc` >= 0.5 and metrics.acc < 1", [5, 7, 8]),
        ("metrics.acc != 0.5", [1, 2, 4, 7, 8, 10, 11]),
        ("params.model = 'tree'", [1, 3, 5, 7, 9, 11]),
        ("params.model != 'tree'", [0, 2, 4, 6, 8, 10]),
        ("params.depth LIKE '1%'", [1, 10, 11]),
        ("tags.team = 'Fraud'", [0, 1, 2, 3, 4, 5]),
        ("tags.team LIKE 'fraud'", []),
        ("tags.team ILIKE 'fraud'", [0, 1, 2, 3, 4, 5]),
        ("tags.nothing IS NULL AND tags.team IS NOT NULL AND params.depth = '3'", [3]),
        ("attributes.status = 'FINISHED'", [0, 4, 8]),
        ("status = 'running' AND params.model = 'line'", [2, 6, 10]),
        ("attributes.run_name IN ('run-01', 'run-07', 'nobody')", [1, 7]),
        ("attributes.start_time >= 1010", [10, 11]),
        ("tags.mlflow.runName = 'run-03'", [3]),
        ("params.model = 'tree' AND metrics.acc > 0.5 AND tags.team = 'churn'", [7, 11]),
        ("", list(range(12))),
    ],
)
def test_a_filter_finds_exactly_what_it_says(client: MlflowClient, many: Many, text: str, numbers: list[int]) -> None:
    found = client.search_runs([many.experiment], text, order_by=["attributes.run_name ASC"])
    assert [run.info.run_name for run in found] == [f"run-{number:02}" for number in numbers]


def test_a_run_is_found_by_its_id(client: MlflowClient, many: Many) -> None:
    wanted = [many.runs["run-03"], many.runs["run-05"]]
    found = client.search_runs([many.experiment], f"run_id IN ('{wanted[0]}', '{wanted[1]}')")
    assert {run.info.run_id for run in found} == set(wanted)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ([], "run-11"),
        (["metrics.acc DESC"], "run-11"),
        (["metrics.acc ASC"], "run-01"),
        (["params.model ASC", "attributes.start_time ASC"], "run-00"),
        (["tags.team DESC", "start_time DESC"], "run-11"),
        (["attributes.end_time DESC", "start_time ASC"], "run-00"),
    ],
)
def test_runs_come_in_the_order_asked_for(client: MlflowClient, many: Many, order: list[str], first: str) -> None:
    found = client.search_runs([many.experiment], order_by=order)
    assert found[0].info.run_name == first
    if order[:1] == ["metrics.acc DESC"]:
        assert [run.info.run_name for run in found][-4:] == ["run-09", "run-06", "run-03", "run-00"]


def test_all_pages_together_are_the_whole(client: MlflowClient, many: Many) -> None:
    seen, token, more = [], None, True
    while more:
        page = client.search_runs([many.experiment], max_results=5, order_by=["metrics.acc DESC"], page_token=token)
        seen += [run.info.run_name for run in page]
        token, more = page.token, bool(page.token)
    assert seen == [run.info.run_name for run in client.search_runs([many.experiment], order_by=["metrics.acc DESC"])]


def test_a_search_carries_everything_a_run_has(client: MlflowClient, many: Many) -> None:
    (found,) = client.search_runs([many.experiment], "params.depth = '7'")
    assert found.to_dictionary() == client.get_run(many.runs["run-07"]).to_dictionary()


def test_the_deleted_are_searched_when_asked_for(client: MlflowClient) -> None:
    from mlflow.entities import ViewType

    many = twelve(client)
    client.delete_run(many.runs["run-02"])
    names = {
        view: [run.info.run_name for run in client.search_runs([many.experiment], run_view_type=view)]
        for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)
    }
    assert (len(names[ViewType.ACTIVE_ONLY]), len(names[ViewType.ALL])) == (11, 12)
    assert names[ViewType.DELETED_ONLY] == ["run-02"]


@pytest.mark.parametrize(
    "text",
    ["metrics.acc >", "acc > 1", "params.model > 'a'", "metrics.acc = 'x'", "a = 'b' OR c = 'd'", "shoe.size = 3"],
)
def test_a_filter_that_cannot_be_read_says_where(client: MlflowClient, experiment: str, text: str) -> None:
    with refused():
        client.search_runs([experiment], text)


def test_a_token_of_another_search_is_refused(client: MlflowClient, many: Many) -> None:
    token = client.search_runs([many.experiment], max_results=5).token
    with refused():
        client.search_runs([many.experiment], "params.depth = '1'", max_results=5, page_token=token)


def test_async_logging_arrives(client: MlflowClient, run: str) -> None:
    waiting = [client.log_metric(run, "m", step, step=step, synchronous=False) for step in range(50)]
    waiting.append(client.log_param(run, "p", "1", synchronous=False))
    for one in waiting:
        one.wait()
    assert len(client.get_metric_history(run, "m")) == 50
    assert client.get_run(run).data.params == {"p": "1"}


def test_two_clients_log_to_one_run_at_once(client: MlflowClient, run: str) -> None:
    from threading import Thread

    def log(key: str) -> None:
        for step in range(40):
            client.log_metric(run, key, step, timestamp=int(time.time() * 1000), step=step)

    threads = [Thread(target=log, args=(f"m{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: len(client.get_metric_history(run, key)) for key in ("m0", "m1", "m2", "m3")} == {
        f"m{n}": 40 for n in range(4)
    }


def test_an_unknown_run_is_not_found(client: MlflowClient) -> None:
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_run("0" * 32)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.log_metric(unique("0123456789"), "m", 1)
