"""Evaluation datasets and their records."""

from __future__ import annotations

from typing import Any

import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import evaluation, tracking
from bucle.line.evaluation.tables import EVALUATION_RECORDS


def example(question: str, **more: Any) -> evaluation.EvaluationExample:
    return evaluation.EvaluationExample(inputs={"q": question}, **more)


def records(project: Project, id_: str) -> list[evaluation.EvaluationRecord]:
    return list(evaluation.evaluation_records(project, id_).items)


def test_records_are_one_for_the_same_inputs_and_add_up(any_project: Project) -> None:
    made = evaluation.create_evaluation_dataset(any_project, "qa", tags={"a": "1"}, experiment_ids=["0"], author="ana")
    first = [example("1", expectations={"e": 1}, tags={"t": "x"}, author="ana"), example("2", outputs=[1, 2])]
    assert evaluation.merge_evaluation_records(any_project, made.id, first) == (2, 0)
    again = [example("1", expectations={"f": 2}, author="bo"), example("3"), example("3", outputs="last")]
    assert evaluation.merge_evaluation_records(any_project, made.id, again) == (1, 2)

    one, two, three = records(any_project, made.id)
    assert (one.expectations, one.tags, one.outputs) == ({"e": 1, "f": 2}, {"t": "x"}, {})
    assert (one.created_by, one.updated_by) == ("ana", "bo")
    assert (two.outputs, three.outputs) == ([1, 2], "last")

    found = evaluation.evaluation_dataset(any_project, made.id)
    assert (found.records, found.updated_by, found.experiment_ids) == (3, "bo", ("0",))
    assert found.fields == {
        "inputs": {"q": "string"},
        "outputs": "array",
        "expectations": {"e": "integer", "f": "integer"},
    }
    assert found.records_digest != made.records_digest
    assert evaluation.verify_evaluation_datasets(any_project) == []
    assert verify_log(any_project.database, any_project.anchor).faults == ()


def test_taking_records_out_and_the_dataset_away(project: Project) -> None:
    made = evaluation.create_evaluation_dataset(project, "qa")
    evaluation.merge_evaluation_records(project, made.id, [example(str(n)) for n in range(5)])
    gone = [one.id for one in records(project, made.id)[:2]]
    assert evaluation.delete_evaluation_records(project, made.id, [*gone, "dr-none"]) == 2
    assert evaluation.evaluation_dataset(project, made.id).records == 3
    evaluation.delete_evaluation_dataset(project, made.id)
    evaluation.delete_evaluation_dataset(project, made.id)
    with pytest.raises(evaluation.NoSuchEvaluationDataset):
        evaluation.evaluation_records(project, made.id)


def test_a_record_changed_behind_the_ledgers_back_is_found(project: Project) -> None:
    made = evaluation.create_evaluation_dataset(project, "qa")
    evaluation.merge_evaluation_records(project, made.id, [example("1")])
    with project.database.writing() as connection:
        connection.execute(EVALUATION_RECORDS.update().values(body='{"forged":1}'))
    (fault,) = evaluation.verify_evaluation_datasets(project)
    assert fault.where == f"evaluation-dataset/{made.id}"


def test_pages_of_records_laid_together_are_all_of_them_in_order(project: Project) -> None:
    made = evaluation.create_evaluation_dataset(project, "qa")
    evaluation.merge_evaluation_records(project, made.id, [example(str(n)) for n in range(25)])
    seen, token = list[str](), ""
    while True:
        page = evaluation.evaluation_records(project, made.id, limit=7, token=token)
        seen += [one.inputs["q"] for one in page.items]
        token = page.token
        if not token:
            break
    assert seen == [str(n) for n in range(25)]


def test_datasets_are_found_by_name_tag_and_experiment(any_project: Project) -> None:
    other = tracking.create_experiment(any_project, "other").id
    one = evaluation.create_evaluation_dataset(any_project, "alpha", tags={"team.x": "a"}, experiment_ids=["0"])
    two = evaluation.create_evaluation_dataset(any_project, "Beta", tags={"team.x": "b"}, experiment_ids=[other])

    def names(text: str = "", **more: Any) -> list[str]:
        return [found.name for found in evaluation.search_evaluation_datasets(any_project, filter=text, **more).items]

    assert names("name LIKE 'a%'") == ["alpha"]
    assert names("name ILIKE 'b%'") == ["Beta"]
    assert names("tags.team.x = 'b'") == ["Beta"]
    assert names(experiment_ids=["0"]) == ["alpha"]
    assert names("created_time > 0 AND name IN ('alpha', 'Beta')", order_by=["name DESC"]) == ["alpha", "Beta"]
    page = evaluation.search_evaluation_datasets(any_project, order_by=["name"], limit=1)
    assert [found.name for found in page.items] == ["Beta"]
    assert names(order_by=["name"], limit=1, token=page.token) == ["alpha"]

    evaluation.link_evaluation_dataset(any_project, one.id, [other])
    assert set(names(experiment_ids=[other])) == {"alpha", "Beta"}
    assert evaluation.unlink_evaluation_dataset(any_project, one.id, [other, "99"]).experiment_ids == ("0",)
    with pytest.raises(tracking.NoSuchExperiment):
        evaluation.link_evaluation_dataset(any_project, two.id, ["4711"])


def test_tags_are_added_and_taken_off(project: Project) -> None:
    made = evaluation.create_evaluation_dataset(project, "qa", tags={"a": "1"})
    evaluation.tag_evaluation_dataset(project, made.id, {"b": "2", "a": None})
    evaluation.untag_evaluation_dataset(project, made.id, "a")
    evaluation.untag_evaluation_dataset(project, made.id, "never")
    evaluation.untag_evaluation_dataset(project, "d-none", "a")
    assert evaluation.evaluation_dataset(project, made.id).tags == {"b": "2"}


def test_what_cannot_be_kept_is_refused(project: Project) -> None:
    made = evaluation.create_evaluation_dataset(project, "qa")
    for name in ("", " ", "x" * 501):
        with pytest.raises(evaluation.BadRecords, match="name of a dataset"):
            evaluation.create_evaluation_dataset(project, name)
    with pytest.raises(evaluation.BadRecords, match="at most"):
        evaluation.merge_evaluation_records(project, made.id, [example("x" * (5 << 20))])
    with pytest.raises(evaluation.BadRecords, match="tag"):
        evaluation.tag_evaluation_dataset(project, made.id, {"": "x"})
    with pytest.raises(evaluation.NoSuchEvaluationDataset):
        evaluation.merge_evaluation_records(project, "d-none", [example("1")])
    assert evaluation.evaluation_dataset(project, made.id).records == 0
