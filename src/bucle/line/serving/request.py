"""Request: what a client asks, checked and in columns.

Source: Open Inference Protocol v2, REST (https://github.com/kserve/open-inference-protocol,
`specification/protocol/inference_rest.md`); MLflow model server, `/invocations`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bucle.ground.core import from_micros, suggest
from bucle.line.registry import Package
from bucle.line.serving.errors import BadBody, BadInput, BodyTooLarge
from bucle.line.serving.schema import Column, Schema, check_values, flatten

__all__ = ["Request", "read_infer", "read_invocation"]


class Request(msgspec.Struct, frozen=True):
    """A request in order.

    Attributes:
        id: the client's, or one made here.
        routing_key: decides the arm.
        rows: how many rows, >= 1.
        columns: by name, in the package's order.
        instants: of each row; the moment of arrival when the package names no instant column.
        ids: of each row, empty when the package names no entity column.
        enriched: what feature views added, by their pins and instant column: the arms that answer the same request with
            the same views look them up once.
    """

    id: str
    routing_key: str
    rows: int
    columns: dict[str, list[Any]]
    instants: list[datetime]
    ids: list[str]
    enriched: dict[tuple[object, ...], Any] = {}


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw(b"")
    parameters: dict[str, Any] = {}


class _Infer(msgspec.Struct):
    inputs: list[_Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}


_INFER = msgspec.json.Decoder(_Infer)
_ANYTHING = msgspec.json.Decoder()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_infer(
    body: bytes, schema: Schema, package: Package, *, fallback_id: str, now: datetime, max_rows: int
) -> Request:
    """A request in the form of Open Inference Protocol v2.

    Args:
        body: JSON. `parameters.routing_key` decides the arm; the request's id unless given.
        schema: of the package.
        package: names the instant and entity columns.
        fallback_id: the request's id when the client gives none.
        now: the moment of arrival.
        max_rows: more are refused.
    Raises:
        BadBody: no JSON, or not of the protocol's form.
        BadInput: a field is missing, unknown, mistyped, null or of the wrong length.
        BodyTooLarge: too many rows.
    """
    message = _decoded(body)
    given = {tensor.name: tensor for tensor in message.inputs}
    if given.keys() != schema.columns.keys() or len(given) != len(message.inputs):
        raise _wrong_names([tensor.name for tensor in message.inputs], schema)
    first = message.inputs[0].shape if message.inputs else []
    rows = _checked_rows(first[0] if first else 0, max_rows)
    columns = {name: _tensor_values(column, given[name], rows) for name, column in schema.columns.items()}
    identity = message.id or fallback_id
    key = message.parameters.get("routing_key", identity)
    return _request(identity, str(key), columns, package, now)


def read_invocation(
    body: bytes, schema: Schema, package: Package, *, identity: str, routing_key: str, now: datetime, max_rows: int
) -> Request:
    """A request in one of the four forms of MLflow's `/invocations`.

    Raises:
        BadBody, BadInput, BodyTooLarge: as for `read_infer`.
    """
    try:
        message = _ANYTHING.decode(body)
    except _UNREADABLE:
        message = _ANYTHING.decode(_mended(body))
    given = _invoked(message, schema)
    if given.keys() != schema.columns.keys():
        raise _wrong_names(list(given), schema)
    rows = _checked_rows(len(next(iter(given.values()), [])), max_rows)
    columns = {name: _listed(column, given[name], rows) for name, column in schema.columns.items()}
    return _request(identity, routing_key or identity, columns, package, now)


def _decoded(body: bytes) -> _Infer:
    try:
        return _INFER.decode(body)
    except msgspec.ValidationError as error:
        raise _no_form(error) from error
    except _UNREADABLE:
        try:
            return _INFER.decode(_mended(body))
        except msgspec.ValidationError as error:
            raise _no_form(error) from error


def _no_form(error: msgspec.ValidationError) -> BadBody:
    return BadBody(
        f"The request is not of the inference protocol's form: {error}.",
        why="It needs 'inputs', a list of {name, shape, datatype, data}.",
        fix="See GET /v2/models/NAME for the inputs.",
    )


def _mended(body: bytes) -> bytes:
    """Python writes NaN into JSON, which JSON does not know: it becomes null. All else that is wrong raises."""

    def constant(word: str) -> None:
        if word != "NaN":
            raise ValueError(f"{word} is no number JSON knows")

    try:
        return msgspec.json.encode(json.loads(body, parse_constant=constant))
    except (ValueError, RecursionError, OverflowError) as error:
        detail = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise BadBody(
            f"The request is no JSON: {detail[:160]}.", why="Nothing can be read from it.", fix="Send UTF-8 JSON."
        ) from error


def _checked_rows(rows: int, max_rows: int) -> int:
    if rows < 1:
        raise BadInput("The request has no rows.", why="There is nothing to predict.", fix="Send one row or more.")
    if rows > max_rows:
        raise BodyTooLarge(
            f"The request has {rows} rows; {max_rows} is the limit.",
            why="One request must not starve the others.",
            fix="Send it in parts, or raise [serving] max_rows.",
        )
    return rows


def _tensor_values(column: Column, tensor: _Tensor, rows: int) -> list[Any]:
    if tensor.datatype not in column.datatypes:
        _check_datatype(column, tensor)
    wanted = rows * column.width
    if tensor.shape not in ([rows], [rows, 1]) or column.width != 1:
        _check_shape(column, tensor.shape, rows)
    try:
        values = column.decoder.decode(tensor.data)
    except _UNREADABLE:
        values = check_values(column, flatten(_loose(column, tensor)))
    if len(values) != wanted:
        raise BadInput(
            f"Input {column.name!r} has {len(values)} values; its shape says {wanted}.",
            why="Values cannot be told apart.",
            fix="Make data as long as shape says.",
            at=column.name,
        )
    return values if column.width == 1 else _by_row(values, column.width)


def _check_shape(column: Column, shape: list[int], rows: int) -> None:
    if len(shape) > 8 or shape[:1] != [rows] or math.prod(shape) != rows * column.width:
        raise BadInput(
            f"Input {column.name!r} has shape {shape[:8]}; it needs {[rows, *column.tail]}.",
            why="Every input has as many rows as the first one.",
            fix="Give all inputs the same number of rows.",
            at=column.name,
        )


def _check_datatype(column: Column, tensor: _Tensor) -> None:
    """A column of nulls only has no type of its own, so any is accepted for it."""
    if column.nullable and all(value is None for value in flatten(_loose(column, tensor))):
        return
    raise BadInput(
        f"Input {column.name!r} has datatype {tensor.datatype[:40]!r}.",
        why=f"It is of type {column.type}: {', '.join(sorted(column.datatypes))}.",
        fix=f"Send {column.datatype}.",
        at=column.name,
    )


def _loose(column: Column, tensor: _Tensor) -> Any:
    try:
        values = _ANYTHING.decode(tensor.data)
    except _UNREADABLE as error:
        binary = "binary_data_size" in tensor.parameters
        raise BadInput(
            f"Input {column.name!r} has no readable data.",
            why="Binary tensors are not spoken here." if binary else "Each input needs 'data', a list.",
            fix="Send the values as JSON.",
            at=column.name,
        ) from error
    if not isinstance(values, list):
        raise BadInput(f"Input {column.name!r} has data that is no list.", fix="Send a list of values.", at=column.name)
    return values


def _by_row(values: Sequence[Any], width: int) -> list[Any]:
    return [list(values[at : at + width]) for at in range(0, len(values), width)]


def _wrong_names(given: Sequence[str], schema: Schema) -> BadInput:
    wanted = list(schema.columns)
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in schema.columns]
    doubled = sorted({name for name in given if given.count(name) > 1}) if len(given) < 1000 else []
    if extra:
        what, at = f"There is no input {extra[0][:80]!r}.", extra[0][:80]
        fix = suggest(extra[0][:80], missing or wanted) or f"Leave {extra[0][:80]!r} out."
    elif missing:
        what, at, fix = f"Input {missing[0]!r} is missing.", missing[0], f"Send {', '.join(map(repr, missing))}."
    else:
        what, at = f"Input {doubled[0]!r} stands there twice.", doubled[0]
        fix = "Send it once."
    return BadInput(what, why=f"The model takes: {', '.join(wanted)}.", fix=fix, at=at)


def _request(identity: str, key: str, columns: dict[str, list[Any]], package: Package, now: datetime) -> Request:
    rows = len(next(iter(columns.values())))
    instants = _instants(package.instant, columns[package.instant]) if package.instant else [now] * rows
    ids = [str(value) for value in columns[package.entity]] if package.entity else []
    return Request(identity, key, rows, columns, instants, ids)


def _instants(name: str, values: Sequence[Any]) -> list[datetime]:
    return [_instant(name, value, position) for position, value in enumerate(values)]


def _instant(name: str, value: Any, position: int) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else from_micros(value)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        pass
    raise BadInput(
        f"Input {name!r}, element {position}, is {str(value)[:40]!r}, which is no instant.",
        why="It says when the prediction is made, and features are looked up as known then.",
        fix="Write it with a zone, e.g. 2013-03-01T00:00:00Z.",
        at=name,
    )


def _invoked(message: Any, schema: Schema) -> dict[str, list[Any]]:
    """The columns in any of the four forms."""
    if isinstance(message, dict):
        for form, read in _FORMS.items():
            if form in message:
                return read(message[form], schema)
    raise BadBody(
        "The request has none of the forms /invocations takes.",
        why=f"It is an object with one of: {', '.join(_FORMS)}.",
        fix='E.g. {"dataframe_records": [{"a": 1.0}]}',
    )


def _split(value: Any, schema: Schema) -> dict[str, list[Any]]:
    names, data = (value.get("columns"), value.get("data")) if isinstance(value, dict) else (None, None)
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise _no_such_form("dataframe_split", '{"columns": ["a"], "data": [[1.0]]}')
    names = list(schema.columns) if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _no_such_form("dataframe_split", '{"columns": ["a"], "data": [[1.0]]}')
    if len(set(names)) < len(names):
        raise _wrong_names(names, schema)
    for position, row in enumerate(data):
        if len(row) != len(names):
            raise BadInput(
                f"Row {position} has {len(row)} values; there are {len(names)} columns.", at=f"data[{position}]"
            )
    return {name: [row[at] for row in data] for at, name in enumerate(names)}


def _records(value: Any, schema: Schema) -> dict[str, list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise _no_such_form("dataframe_records", '[{"a": 1.0}]')
    names = list(dict.fromkeys(name for row in value for name in row))
    for position, row in enumerate(value):
        for name, column in schema.columns.items():
            if name not in row and not column.nullable:
                raise BadInput(
                    f"Input {name!r} is missing in row {position}.", fix=f"Give {name!r} in every row.", at=name
                )
    every = [*names, *(name for name in schema.columns if name not in names)] if value else []
    return {name: [row.get(name) for row in value] for name in every}


def _instances(value: Any, schema: Schema) -> dict[str, list[Any]]:
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return _records(value, schema)
    if isinstance(value, list) and len(schema.columns) == 1:
        return {next(iter(schema.columns)): value}
    if isinstance(value, list) and all(isinstance(row, list) for row in value):
        return _split({"data": value}, schema)
    raise _no_such_form("instances", '[{"a": 1.0}]')


def _inputs(value: Any, schema: Schema) -> dict[str, list[Any]]:
    if isinstance(value, dict):
        return {name: values if isinstance(values, list) else [values] for name, values in value.items()}
    return _instances(value, schema)


_FORMS = {"dataframe_split": _split, "dataframe_records": _records, "instances": _instances, "inputs": _inputs}


def _no_such_form(form: str, example: str) -> BadBody:
    return BadBody(f"{form!r} does not have the form it should.", why="Rows cannot be read.", fix=f"E.g. {example}")


def _listed(column: Column, values: Sequence[Any], rows: int) -> list[Any]:
    if len(values) != rows:
        raise BadInput(
            f"Input {column.name!r} has {len(values)} rows; another has {rows}.",
            why="Every input has as many rows as the first one.",
            fix="Give all inputs the same number of rows.",
            at=column.name,
        )
    flat = flatten(list(values))
    if len(flat) != rows * column.width:
        raise BadInput(
            f"Input {column.name!r} has {len(flat)} values; it needs {rows} rows of {column.width}.", at=column.name
        )
    checked = check_values(column, flat)
    return checked if column.width == 1 else _by_row(checked, column.width)
