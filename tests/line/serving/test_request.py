from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.ground.core import BucleError
from bucle.line.registry import Field, Package, Signature
from bucle.line.serving import BadBody, BadInput, BodyTooLarge
from bucle.line.serving.request import Request, read_infer, read_invocation
from bucle.line.serving.schema import Schema, Tensor, schema_of

NOW = datetime(2013, 1, 1, tzinfo=UTC)

FIELDS = (
    Field(name="hour", type="float"),
    Field(name="distance", type="float", nullable=True),
    Field(name="carrier", type="string"),
    Field(name="seats", type="int"),
    Field(name="international", type="bool"),
    Field(name="vector", type="float"),
    Field(name="made_at", type="string"),
    Field(name="flight", type="string"),
)
INPUTS = (
    Tensor("hour", np.dtype("float32"), "FP32", (1,), 0),
    Tensor("distance", np.dtype("float32"), "FP32", (1,), 0),
    Tensor("carrier", np.dtype("object"), "BYTES", (1,), 0),
    Tensor("seats", np.dtype("int32"), "INT32", (1,), 0),
    Tensor("international", np.dtype("bool"), "BOOL", (), 0),
    Tensor("vector", np.dtype("float64"), "FP64", (3,), 0),
)
PACKAGE = Package(
    digest="d" * 64,
    files={},
    signature=Signature(inputs=FIELDS[:6]),
    request=Signature(inputs=FIELDS),
    instant="made_at",
    entity="flight",
)
SCHEMA: Schema = schema_of(PACKAGE, INPUTS)

GOOD: dict[str, list[Any]] = {
    "hour": [5.5, 6],
    "distance": [200.0, None],
    "carrier": ["UA", "ÑÑ"],
    "seats": [180, 90],
    "international": [True, False],
    "vector": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    "made_at": ["2013-01-01T10:00:00Z", "2013-01-01T12:00:00+02:00"],
    "flight": ["a", "b"],
}
TYPES = {"carrier": "BYTES", "made_at": "BYTES", "flight": "BYTES", "seats": "INT64", "international": "BOOL"}


def message(columns: dict[str, list[Any]], **changes: Any) -> dict[str, Any]:
    inputs = [
        {
            "name": name,
            "shape": [len(values), 3] if name == "vector" else [len(values)],
            "datatype": TYPES.get(name, "FP32"),
            "data": values,
        }
        for name, values in columns.items()
    ]
    return {"inputs": inputs, **changes}


def infer(body: object, max_rows: int = 100) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_infer(data, SCHEMA, PACKAGE, fallback_id="made-here", now=NOW, max_rows=max_rows)


def invoke(body: object) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_invocation(data, SCHEMA, PACKAGE, identity="i", routing_key="", now=NOW, max_rows=100)


def test_a_request_in_order_is_read_in_columns() -> None:
    request = infer(message(GOOD, id="mine", parameters={"routing_key": "ana"}))
    assert (request.id, request.routing_key, request.rows) == ("mine", "ana", 2)
    assert request.columns == {**GOOD, "hour": [5.5, 6.0]}
    assert request.ids == ["a", "b"]
    assert request.instants == [datetime(2013, 1, 1, 10, tzinfo=UTC)] * 2


def test_without_an_id_the_endpoint_gives_one_and_it_decides_the_arm() -> None:
    request = infer(message(GOOD))
    assert (request.id, request.routing_key) == ("made-here", "made-here")


def test_every_form_of_invocations_says_the_same() -> None:
    names = list(GOOD)
    rows = [list(row) for row in zip(*GOOD.values(), strict=True)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    forms: list[Any] = [
        {"dataframe_split": {"columns": names, "data": rows, "index": [0, 1]}},
        {"dataframe_split": {"columns": names[::-1], "data": [row[::-1] for row in rows]}},
        {"dataframe_records": records, "params": {}},
        {"instances": records},
        {"instances": rows},
        {"inputs": GOOD},
        {"inputs": records},
    ]
    assert [invoke(form).columns for form in forms] == [infer(message(GOOD)).columns] * len(forms)


def test_a_record_may_leave_out_what_may_be_null() -> None:
    record = {name: values[0] for name, values in GOOD.items() if name != "distance"}
    assert invoke({"dataframe_records": [record]}).columns["distance"] == [None]
    with pytest.raises(BadInput, match="'hour' is missing in row 0"):
        invoke({"dataframe_records": [{"carrier": "UA"}]})


def test_nested_data_is_the_same_as_flat_data() -> None:
    flat = message(GOOD)
    flat["inputs"][0] |= {"shape": [2, 1], "data": [[5.5], [6]]}
    flat["inputs"][5]["data"] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert infer(flat).columns == infer(message(GOOD)).columns


def test_the_arrays_for_the_model_have_its_types_and_shapes() -> None:
    fed = SCHEMA.feeds(infer(message(GOOD)).columns, 2)
    assert {name: (array.dtype.name, array.shape) for name, array in fed.items()} == {
        "hour": ("float32", (2, 1)),
        "distance": ("float32", (2, 1)),
        "carrier": ("object", (2, 1)),
        "seats": ("int32", (2, 1)),
        "international": ("bool", (2,)),
        "vector": ("float64", (2, 3)),
    }
    assert np.isnan(fed["distance"][1, 0])


def test_python_s_nan_counts_as_null() -> None:
    body = json.dumps(message({**GOOD, "distance": [1.0, float("nan")]})).encode()
    assert b"NaN" in body
    assert infer(body).columns["distance"] == [1.0, None]


def test_a_whole_number_written_as_float_is_an_int() -> None:
    assert infer(message({**GOOD, "seats": [180.0, 90]})).columns["seats"] == [180, 90]


def test_a_column_of_nulls_may_have_any_datatype() -> None:
    body = message({**GOOD, "distance": [None, None]})
    body["inputs"][1]["datatype"] = "BYTES"
    assert infer(body).columns["distance"] == [None, None]


def change(name: str, **fields: Any) -> dict[str, Any]:
    body = message(GOOD)
    tensor = next(tensor for tensor in body["inputs"] if tensor["name"] == name)
    tensor.update(fields)
    return body


@pytest.mark.parametrize(
    ("body", "at", "says"),
    [
        (message({k: v for k, v in GOOD.items() if k != "hour"}), "hour", "missing"),
        (message({**GOOD, "hours": [1.0, 2.0]}), "hours", "no input"),
        ({"inputs": [*message(GOOD)["inputs"], message(GOOD)["inputs"][0]]}, "hour", "twice"),
        (message({**GOOD, "hour": [5.5, None]}), "hour", "element 1, is null"),
        (message({**GOOD, "hour": [5.5, float("nan")]}), "hour", "element 1, is null"),
        (message({**GOOD, "hour": ["late", 1.0]}), "hour", "element 0, is 'late'"),
        (message({**GOOD, "hour": [True, 1.0]}), "hour", "element 0, is True"),
        (message({**GOOD, "carrier": ["UA", 7]}), "carrier", "element 1, is 7"),
        (message({**GOOD, "seats": [1.5, 2]}), "seats", "element 0, is 1.5"),
        (message({**GOOD, "seats": [None, 2]}), "seats", "null"),
        (message({**GOOD, "international": [1, 0]}), "international", "element 0, is 1"),
        (message({**GOOD, "hour": [1.0]}), "distance", "shape"),
        (change("hour", data=[1.0]), "hour", "1 values"),
        (change("hour", data=[1.0, 2.0, 3.0]), "hour", "3 values"),
        (change("hour", data=7), "hour", "no list"),
        (change("hour", data=[[1.0], {"a": 1}]), "hour", "element 1"),
        (change("carrier", shape=[3]), "carrier", "shape"),
        (change("carrier", shape=[-2, -1]), "carrier", "shape"),
        (change("vector", shape=[2, 2]), "vector", "shape"),
        (change("hour", datatype="BYTES"), "hour", "datatype"),
        (change("hour", datatype="COMPLEX"), "hour", "datatype"),
        (message({**GOOD, "made_at": ["2013-01-01T10:00:00", "x"]}), "made_at", "no instant"),
        (message({**GOOD, "made_at": ["9999-12-31T23:59:59-23:59"] * 2}), "made_at", "no instant"),
        (message({name: [] for name in GOOD}), "", "no rows"),
    ],
)
def test_what_is_wrong_is_said_with_the_field(body: object, at: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        infer(body)
    assert caught.value.at == at
    assert says in caught.value.what
    assert 400 <= caught.value.http_status < 500


def test_a_typing_error_in_a_name_is_met_with_a_suggestion() -> None:
    with pytest.raises(BadInput, match="Did you mean 'carrier'"):
        infer(message({**{k: v for k, v in GOOD.items() if k != "carrier"}, "carier": ["a", "b"]}))


def test_binary_tensors_are_refused_in_words() -> None:
    body = change("hour", parameters={"binary_data_size": 8})
    del next(tensor for tensor in body["inputs"] if tensor["name"] == "hour")["data"]
    with pytest.raises(BadInput, match="Binary tensors"):
        infer(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"42",
        b'"text"',
        b"\xff\xfe",
        b'{"inputs": 5}',
        b'{"inputs": [5]}',
        b'{"inputs": [{"name": 5}]}',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"inputs": [{"name": "hour", "shape": [1e400], "datatype": "FP32", "data": [Infinity]}]}',
        b'{"inputs": [{"name": "hour", "shape": [1], "datatype": "FP32", "data": [1e400]}]}',
        b'{"id": "\\ud800", "inputs": []}',
    ],
)
def test_a_body_of_another_form_is_refused(body: bytes) -> None:
    for read in (infer, invoke):
        with pytest.raises((BadBody, BadInput)):
            read(body)


def test_numbers_too_large_for_the_model_are_refused_by_name() -> None:
    for name, values in {"hour": [1.0, 1e300], "seats": [1, 2**40]}.items():
        with pytest.raises(BadInput) as caught:
            SCHEMA.feeds(infer(message({**GOOD, name: values})).columns, 2)
        assert caught.value.at == name


def test_more_rows_than_the_limit_are_refused() -> None:
    with pytest.raises(BodyTooLarge):
        infer(message(GOOD), max_rows=1)


@given(
    values=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
)
def test_numbers_become_the_same_float32_on_the_short_way_and_on_numpy_s(values: list[float | None]) -> None:
    columns = {**{name: GOOD[name] * len(values) for name in GOOD}, "hour": values, "distance": values[::-1]}
    columns = {name: list(column)[: len(values)] for name, column in columns.items()}
    with np.errstate(over="ignore"):
        wanted = np.array(values, dtype=np.float64).astype(np.float32)
    if np.isinf(wanted).any():
        with pytest.raises(BadInput):
            SCHEMA.feeds(columns, len(values))
    else:
        assert SCHEMA.feeds(columns, len(values))["hour"].tobytes() == wanted.tobytes()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([*GOOD, "other"])
TENSOR = st.fixed_dictionaries(
    {"name": NAMES, "shape": st.lists(st.integers(-2, 4), max_size=3), "datatype": st.sampled_from(["FP32", "BYTES"])},
    optional={"data": ANYTHING | st.lists(ANYTHING, max_size=4), "parameters": ANYTHING},
)


def spoil(columns: dict[str, Any]) -> dict[str, Any]:
    return message({**GOOD, **{name: value if isinstance(value, list) else [value] for name, value in columns.items()}})


BODIES: st.SearchStrategy[Any] = st.one_of(
    ANYTHING,
    st.fixed_dictionaries({"inputs": st.lists(TENSOR, max_size=9)}, optional={"id": ANYTHING, "parameters": ANYTHING}),
    st.dictionaries(NAMES, ANYTHING, max_size=3).map(spoil),
    st.dictionaries(st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]), ANYTHING),
    st.lists(st.dictionaries(NAMES, ANYTHING), max_size=3).map(lambda rows: {"dataframe_records": rows}),
    st.fixed_dictionaries({"columns": ANYTHING, "data": ANYTHING}).map(lambda split: {"dataframe_split": split}),
)


@pytest.mark.parametrize("read", [infer, invoke])
@given(body=BODIES | st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_body_whatever_brings_down_the_reader(read: Callable[[object], Request], body: object) -> None:
    status = 200
    try:
        request = read(body)
        SCHEMA.feeds(request.columns, request.rows)
    except BucleError as error:
        status = error.http_status
    assert status == 200 or 400 <= status < 500
