"""EvaluationRecord: one example of an evaluation dataset."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bucle.ground.core import Digest, Record, decode, digest_of, digest_of_value, encode, make_ref, to_micros
from bucle.ground.ledger import Fault, Transaction
from bucle.ground.project import Project
from bucle.line.evaluation import store
from bucle.line.evaluation.dataset import changing, missing, present, short_digest
from bucle.line.evaluation.errors import BadRecords
from bucle.line.evaluation.tables import EVALUATION_DATASETS
from bucle.line.tracing import storable
from bucle.line.tracking import Page, check_limit, make_token, read_token

__all__ = [
    "EvaluationExample",
    "EvaluationRecord",
    "delete_evaluation_records",
    "evaluation_records",
    "merge_evaluation_records",
    "verify_evaluation_datasets",
]

MOST_RECORDS = 10_000
"""Records a page at most."""

LARGEST_RECORD = 4 << 20
"""Bytes of one record."""


class EvaluationRecord(Record, frozen=True):
    """One example; in a dataset there is one for the same inputs.

    Attributes:
        id: `dr-` and 32 hexadecimal digits.
        dataset_id: where it is.
        inputs: what goes in.
        outputs: an answer that was given; None when none was.
        expectations: what is true of a right answer.
        tags: of the record.
        source: where it comes from: `source_type` and `source_data`; empty when nobody said.
        created_at: an instant.
        updated_at: an instant.
        created_by: who made it; empty when nobody said.
        updated_by: who changed it last.
    """

    id: str
    dataset_id: str
    inputs: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    outputs: Any = None
    expectations: dict[str, Any] | None = None
    tags: dict[str, Any] = {}
    source: dict[str, Any] = {}
    created_by: str = ""
    updated_by: str = ""


class EvaluationExample(Record, frozen=True):
    """What a client hands in to become a record, or to change one.

    Attributes:
        outputs: `UNSET` leaves those that are there.
    """

    inputs: dict[str, Any]
    outputs: Any = msgspec.UNSET
    expectations: dict[str, Any] | None = None
    tags: dict[str, Any] = {}
    source: dict[str, Any] = {}
    author: str = ""


_JSON = msgspec.json.Encoder()


def merge_evaluation_records(project: Project, id: str, examples: Sequence[EvaluationExample]) -> tuple[int, int]:  # noqa: A002
    """Add examples; one whose inputs are there already changes that record instead.

    Outputs replace; expectations and tags are added to what is there.

    Returns:
        How many records were made and how many changed.
    Raises:
        NoSuchEvaluationDataset: there is none of this id.
        BadRecords: an example is too large.
    Cost: a digest for every record of the dataset.
    """
    now = project.clock.now()
    digests = [digest_of_value(example.inputs) for example in examples]
    with changing(project, "tracking.dataset_merged", id) as tx:
        row = present(tx, id)
        old = {found["inputs_digest"]: _record(found) for found in store.records_by_inputs(tx.connection, id, digests)}
        known, new = set(old), dict[Digest, EvaluationRecord]()
        newest = store.newest_record(tx.connection, id)
        begin = now if newest is None else max(now, newest + timedelta(microseconds=1))
        for place, (digest, example) in enumerate(zip(digests, examples, strict=True)):
            before = new.get(digest) or old.get(digest)
            # A microsecond apart, so that they are given out in the order they were handed in.
            at = begin + timedelta(microseconds=place)
            new[digest] = _begun(id, example, at) if before is None else _merged(before, example, now)
        store.put_records(tx.connection, [_record_row(digest, record) for digest, record in new.items()])
        made = len(new.keys() - known)
        author = next((example.author for example in reversed(examples) if example.author), "")
        fields = _fields(decode(row["fields"], dict[str, Any]), examples)
        _note_records(tx, project, row, author=author, fields=fields)
        tx.data.update({"made": made, "changed": len(examples) - made})
    return made, len(examples) - made


def evaluation_records(
    project: Project,
    id: str,  # noqa: A002
    *,
    limit: int = 1000,
    token: str = "",
) -> Page[EvaluationRecord]:
    """The records of a dataset, oldest first.

    Raises:
        NoSuchEvaluationDataset: there is none of this id.
        BadToken: the token belongs to another dataset.
    """
    check_limit(limit, MOST_RECORDS)
    after = read_token(token, ["records", id], 2) if token else ()
    with project.database.reading() as connection:
        if store.dataset_row(connection, id) is None:
            raise missing(id)
        rows = store.record_rows(connection, id, after=after, limit=limit + 1)
    items = tuple(_record(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items=items)
    last = items[-1]
    return Page(items=items, token=make_token(["records", id], [to_micros(last.created_at), last.id]))


def delete_evaluation_records(project: Project, id: str, record_ids: Sequence[str]) -> int:  # noqa: A002
    """Remove records; how many there were.

    Raises:
        NoSuchEvaluationDataset: there is none of this id.
    """
    with changing(project, "tracking.dataset_reduced", id) as tx:
        row = present(tx, id)
        gone = store.delete_records(tx.connection, id, record_ids)
        _note_records(tx, project, row, author="", fields=None)
        tx.data["deleted"] = gone
    return gone


def verify_evaluation_datasets(project: Project) -> list[Fault]:
    """Datasets whose records are not those the ledger knows; empty when all is well.

    Cost: reads every record.
    """
    return [fault for fault in _faults(project) if fault is not None]


def _faults(project: Project) -> Iterator[Fault | None]:
    with project.database.reading() as connection:
        for row in store.every_dataset(connection):
            digests = list[tuple[str, str]]()
            is_true = True
            for record in store.every_record(connection, row["id"]):
                is_true &= digest_of(record["body"].encode()) == record["digest"]
                digests.append((record["id"], record["digest"]))
            if not is_true or digest_of_value(digests) != row["records_digest"]:
                where = make_ref("evaluation-dataset", row["id"])
                yield Fault(where=where, what="Its records are not those the ledger knows.")


def _note_records(
    tx: Transaction, project: Project, row: Mapping[str, Any], *, author: str, fields: dict[str, Any] | None
) -> None:
    """What the dataset's row says once its records are written."""
    now = project.clock.now()
    digests = store.record_digests(tx.connection, row["id"])
    changes = {
        "records": len(digests),
        "records_digest": digest_of_value(digests),
        "digest": short_digest(row["name"], now),
        "updated_at": now,
    }
    if author:
        changes["updated_by"] = storable(author)
    if fields is not None:
        changes["fields"] = encode(fields).decode()
    tx.update(EVALUATION_DATASETS, {"id": row["id"]}, changes)
    tx.data.update({"records": len(digests), "digest": changes["records_digest"]})


def _begun(dataset_id: str, example: EvaluationExample, now: datetime) -> EvaluationRecord:
    return EvaluationRecord(
        id=f"dr-{uuid.uuid4().hex}",
        dataset_id=dataset_id,
        inputs=example.inputs,
        outputs={} if example.outputs is msgspec.UNSET else example.outputs,
        expectations=example.expectations,
        tags=example.tags,
        source=example.source,
        created_at=now,
        updated_at=now,
        created_by=example.author,
        updated_by=example.author,
    )


def _merged(before: EvaluationRecord, example: EvaluationExample, now: datetime) -> EvaluationRecord:
    expectations = before.expectations
    if example.expectations:
        expectations = {**(before.expectations or {}), **example.expectations}
    return msgspec.structs.replace(
        before,
        outputs=before.outputs if example.outputs is msgspec.UNSET else example.outputs,
        expectations=expectations,
        tags={**before.tags, **example.tags},
        updated_at=now,
        updated_by=example.author or before.updated_by,
    )


def _record_row(inputs_digest: str, record: EvaluationRecord) -> dict[str, Any]:
    try:
        body = _JSON.encode(record)
    except UnicodeEncodeError as error:
        raise BadRecords(
            "A record holds text that is no Unicode.", why="No database keeps it.", fix="Encode it as UTF-8 first."
        ) from error
    if len(body) > LARGEST_RECORD:
        raise BadRecords(
            f"A record holds {len(body):,} bytes.",
            why=f"It may hold {LARGEST_RECORD:,} at most.",
            fix="Keep what is large as an artifact and its name in the record.",
            at="records",
        )
    return {
        "dataset": record.dataset_id,
        "inputs_digest": inputs_digest,
        "id": record.id,
        "digest": digest_of(body),
        "created_at": to_micros(record.created_at),
        "body": body.decode(),
    }


def _record(row: Mapping[str, Any]) -> EvaluationRecord:
    return decode(row["body"], EvaluationRecord, what="evaluation record")


def _fields(known: dict[str, Any], examples: Sequence[EvaluationExample]) -> dict[str, Any]:
    """The type of each field: what is known stays, what is new is added."""
    fields = {part: known.get(part, {}) for part in ("inputs", "outputs", "expectations")}
    for example in examples:
        for part, known_types in fields.items():
            found = getattr(example, part)
            if isinstance(found, dict) and isinstance(known_types, dict):
                fields[part] = {**{key: _type(value) for key, value in found.items()}, **known_types}
            elif found not in (None, msgspec.UNSET) and not isinstance(found, dict) and not known_types:
                fields[part] = _type(found)
    return fields


def _type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), "unknown")
