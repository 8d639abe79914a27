"""EvaluationDataset: examples to judge answers by: what goes in, and what should come out."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from bucle.ground.core import Record, decode, digest_of_value, encode, make_ref, to_micros
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.evaluation import store
from bucle.line.evaluation.errors import BadRecords, NoSuchEvaluationDataset
from bucle.line.evaluation.tables import EVALUATION_DATASETS, EVALUATION_EXPERIMENTS
from bucle.line.tracing import storable
from bucle.line.tracking import Page, active_experiment, check_limit, make_token, read_token

__all__ = [
    "EvaluationDataset",
    "create_evaluation_dataset",
    "delete_evaluation_dataset",
    "evaluation_dataset",
    "link_evaluation_dataset",
    "search_evaluation_datasets",
    "tag_evaluation_dataset",
    "unlink_evaluation_dataset",
    "untag_evaluation_dataset",
]

MOST_DATASETS = 50_000
"""Datasets a page at most."""

LONGEST_NAME = 500
LONGEST_KEY = 250
LONGEST_TAG = 8000


class EvaluationDataset(Record, frozen=True):
    """Examples under a name.

    Attributes:
        id: `d-` and 32 hexadecimal digits.
        name: for people; two datasets may have the same.
        digest: eight hexadecimal digits that change with every change, as MLflow has it.
        records: how many examples there are.
        records_digest: content address of all of them.
        fields: for `inputs`, `outputs` and `expectations` the type of each field seen.
        tags: of the dataset.
        experiment_ids: the experiments it belongs to.
        created_at: an instant.
        updated_at: an instant.
        created_by: who made it; empty when nobody said.
        updated_by: who changed it last.
    """

    id: str
    name: str
    digest: str
    records: int
    records_digest: str
    fields: dict[str, Any]
    tags: dict[str, str]
    experiment_ids: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    created_by: str
    updated_by: str


_EMPTY = digest_of_value([])


def create_evaluation_dataset(
    project: Project,
    name: str,
    *,
    tags: Mapping[str, str] | None = None,
    experiment_ids: Sequence[str] = (),
    author: str = "",
) -> EvaluationDataset:
    """Make a dataset without records.

    Raises:
        BadRecords: the name is empty or too long, or a tag is.
        NoSuchExperiment: one of the experiments is not there, or is deleted.
    """
    if not name.strip() or len(name) > LONGEST_NAME:
        raise BadRecords(
            f"{name[:60]!r} cannot be the name of a dataset.",
            why=f"A name has 1 to {LONGEST_NAME} characters.",
            fix="Choose another.",
            at="name",
        )
    for experiment_id in experiment_ids:
        active_experiment(project, experiment_id)
    now, id_ = project.clock.now(), f"d-{uuid.uuid4().hex}"
    row = {
        "id": id_,
        "name": storable(name),
        "digest": short_digest(name, now),
        "records": 0,
        "records_digest": _EMPTY,
        "fields": "{}",
        "tags": encode(_tags(tags or {})).decode(),
        "created_at": now,
        "updated_at": now,
        "created_by": storable(author),
        "updated_by": storable(author),
    }
    with changing(project, "tracking.dataset_created", id_) as tx:
        tx.insert(EVALUATION_DATASETS, row)
        for number in sorted({int(experiment_id) for experiment_id in experiment_ids}):
            tx.insert(EVALUATION_EXPERIMENTS, {"dataset": id_, "experiment": number})
        tx.data["name"] = row["name"]
    return evaluation_dataset(project, id_)


def evaluation_dataset(project: Project, id: str) -> EvaluationDataset:  # noqa: A002
    """One dataset, without its records.

    Raises:
        NoSuchEvaluationDataset: there is none of this id.
    """
    with project.database.reading() as connection:
        row = store.dataset_row(connection, id)
        if row is None:
            raise missing(id)
        return _of_rows(connection, [row])[0]


def search_evaluation_datasets(
    project: Project,
    *,
    experiment_ids: Sequence[str] = (),
    filter: str = "",  # noqa: A002
    order_by: Sequence[str] = (),
    limit: int = 1000,
    token: str = "",
) -> Page[EvaluationDataset]:
    """Datasets that match a filter, the newest first unless an order is given.

    Args:
        experiment_ids: only those that belong to one of these; empty means all.
        filter: e.g. `name LIKE 'support%' AND tags.team = 'search'`.
        order_by: `name`, `created_time` or `last_update_time`.
    Raises:
        BadFilter: the filter or the order cannot be read.
        BadToken: the token belongs to another search.
    """
    check_limit(limit, MOST_DATASETS)
    keys = store.keys_of(order_by)
    question = ["datasets", sorted(experiment_ids), filter, list(order_by)]
    after = read_token(token, question, len(keys)) if token else ()
    with project.database.reading() as connection:
        where = store.conditions_of(connection, filter, experiment_ids)
        found = store.page(connection, where, keys, after=after, limit=limit + 1)
        items = _of_rows(connection, [row for row, _ in found[:limit]])
    is_last = len(found) <= limit
    return Page(items=tuple(items), token="" if is_last else make_token(question, found[limit - 1][1]))


def delete_evaluation_dataset(project: Project, id: str) -> None:  # noqa: A002
    """Remove a dataset with its records. An unknown id is no error."""
    with project.database.reading() as connection:
        if store.dataset_row(connection, id) is None:
            return
    with changing(project, "tracking.dataset_deleted", id) as tx:
        row = present(tx, id)
        for number in store.dataset_experiments(tx.connection, [id]).get(id, ()):
            tx.delete(EVALUATION_EXPERIMENTS, {"dataset": id, "experiment": number})
        store.delete_records(tx.connection, id, None)
        tx.delete(EVALUATION_DATASETS, {"id": id})
        tx.data.update({"name": row["name"], "records": row["records"]})


def tag_evaluation_dataset(project: Project, id: str, tags: Mapping[str, str | None]) -> None:  # noqa: A002
    """Set tags of a dataset; a value of None leaves the tag as it is.

    Raises:
        NoSuchEvaluationDataset: there is none of this id.
        BadRecords: a key or a value is too long.
    """
    new = _tags({key: value for key, value in tags.items() if value is not None})
    with changing(project, "tracking.dataset_tagged", id) as tx:
        old = decode(present(tx, id)["tags"], dict[str, str])
        tx.update(EVALUATION_DATASETS, {"id": id}, {"tags": encode({**old, **new}).decode()})
        tx.data["tags"] = new


def untag_evaluation_dataset(project: Project, id: str, key: str) -> None:  # noqa: A002
    """Remove a tag. An unknown dataset or tag is no error."""
    with project.database.reading() as connection:
        row = store.dataset_row(connection, id)
    if row is None or key not in decode(row["tags"], dict[str, str]):
        return
    with changing(project, "tracking.dataset_tagged", id) as tx:
        left = decode(present(tx, id)["tags"], dict[str, str])
        left.pop(key, None)
        tx.update(EVALUATION_DATASETS, {"id": id}, {"tags": encode(left).decode()})
        tx.data["tags"] = {key: None}


def link_evaluation_dataset(project: Project, id: str, experiment_ids: Sequence[str]) -> EvaluationDataset:  # noqa: A002
    """Have a dataset belong to more experiments.

    Raises:
        NoSuchEvaluationDataset: there is none of this id.
        NoSuchExperiment: one of the experiments is not there, or is deleted.
    """
    for experiment_id in experiment_ids:
        active_experiment(project, experiment_id)
    with changing(project, "tracking.dataset_linked", id) as tx:
        present(tx, id)
        for number in sorted({int(experiment_id) for experiment_id in experiment_ids}):
            tx.put(EVALUATION_EXPERIMENTS, {"dataset": id, "experiment": number})
        tx.update(EVALUATION_DATASETS, {"id": id}, {"updated_at": project.clock.now()})
        tx.data["experiments"] = list(experiment_ids)
    return evaluation_dataset(project, id)


def unlink_evaluation_dataset(project: Project, id: str, experiment_ids: Sequence[str]) -> EvaluationDataset:  # noqa: A002
    """Have a dataset belong to these experiments no longer; others are passed over.

    Raises:
        NoSuchEvaluationDataset: there is none of this id.
    """
    with changing(project, "tracking.dataset_unlinked", id) as tx:
        present(tx, id)
        linked = {str(number) for number in store.dataset_experiments(tx.connection, [id]).get(id, ())}
        for experiment_id in sorted(linked & set(experiment_ids)):
            tx.delete(EVALUATION_EXPERIMENTS, {"dataset": id, "experiment": int(experiment_id)})
        tx.update(EVALUATION_DATASETS, {"id": id}, {"updated_at": project.clock.now()})
        tx.data["experiments"] = sorted(linked & set(experiment_ids))
    return evaluation_dataset(project, id)


@contextmanager
def changing(project: Project, kind: str, id: str) -> Iterator[Transaction]:  # noqa: A002
    """A change of a dataset, on the ledger."""
    with project.ledger.transaction(kind, subject=make_ref("evaluation-dataset", id), actor=project.actor) as tx:
        yield tx


def _of_rows(connection: Any, rows: Sequence[Mapping[str, Any]]) -> list[EvaluationDataset]:
    linked = store.dataset_experiments(connection, [row["id"] for row in rows])
    return [
        EvaluationDataset(
            **{name: row[name] for name in ("id", "name", "digest", "records", "records_digest")},
            fields=decode(row["fields"], dict[str, Any]),
            tags=decode(row["tags"], dict[str, str]),
            experiment_ids=tuple(str(number) for number in linked.get(row["id"], ())),
            **{name: row[name] for name in ("created_at", "updated_at", "created_by", "updated_by")},
        )
        for row in rows
    ]


def _tags(given: Mapping[str, str]) -> dict[str, str]:
    tags = {storable(key): storable(str(value)) for key, value in given.items()}
    for key, value in tags.items():
        if not key.strip() or len(key) > LONGEST_KEY or len(value) > LONGEST_TAG:
            raise BadRecords(
                f"The tag {key[:40]!r} cannot be kept.",
                why=f"A key has 1 to {LONGEST_KEY} characters, a value {LONGEST_TAG:,} at most.",
                fix="Shorten it.",
                at="tags",
            )
    return tags


def short_digest(name: str, at: datetime) -> str:
    """Eight digits that change with every change, made as MLflow makes them."""
    return hashlib.sha256(f"{name}:{to_micros(at) // 1000}".encode("utf-8", "replace")).hexdigest()[:8]


def present(tx: Transaction, id: str) -> dict[str, Any]:  # noqa: A002
    """A dataset's row, within a write.

    Raises:
        NoSuchEvaluationDataset: there is none.
    """
    row = store.dataset_row(tx.connection, id)
    if row is None:
        raise missing(id)
    return row


def missing(id: str) -> NoSuchEvaluationDataset:  # noqa: A002
    """The error that says there is no such dataset."""
    return NoSuchEvaluationDataset(
        f"Evaluation dataset with id '{id}' not found.",
        why="It was never made here, or was deleted.",
        fix="Search for it by name: mlflow.genai.datasets.search_datasets()",
        at=id,
    )
