"""Schema: what a package wants from a client, ready to check requests and to feed the model fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bucle.line.registry import Field, Package
from bucle.line.serving.errors import BadInput

__all__ = ["Column", "Schema", "Tensor", "check_values", "datatypes_of", "flatten", "schema_of"]

Array = NDArray[Any]

_INTEGERS = frozenset(f"{sign}{bits}" for sign in ("INT", "UINT") for bits in (8, 16, 32, 64))
_FLOATS = frozenset(("FP16", "FP32", "FP64", "BF16"))
_DATATYPES = {
    "float": _FLOATS | _INTEGERS,
    "int": _INTEGERS,
    "bool": frozenset(("BOOL",)),
    "string": frozenset(("BYTES",)),
}
_DTYPES: dict[str, tuple[str, str]] = {
    "tensor(float)": ("float32", "FP32"),
    "tensor(double)": ("float64", "FP64"),
    "tensor(float16)": ("float16", "FP16"),
    "tensor(int8)": ("int8", "INT8"),
    "tensor(int16)": ("int16", "INT16"),
    "tensor(int32)": ("int32", "INT32"),
    "tensor(int64)": ("int64", "INT64"),
    "tensor(uint8)": ("uint8", "UINT8"),
    "tensor(uint16)": ("uint16", "UINT16"),
    "tensor(uint32)": ("uint32", "UINT32"),
    "tensor(uint64)": ("uint64", "UINT64"),
    "tensor(bool)": ("bool", "BOOL"),
    "tensor(string)": ("object", "BYTES"),
}
_PLAIN = {"float": "FP64", "int": "INT64", "bool": "BOOL", "string": "BYTES"}
_PYTHON: dict[str, Any] = {"float": float, "int": int, "bool": bool, "string": str}


class Tensor(NamedTuple):
    """An input or output of the ONNX graph.

    Attributes:
        name: its name.
        dtype: of the array that onnxruntime takes or gives.
        datatype: the same as Open Inference Protocol calls it.
        tail: the shape of one row; `()` when the tensor is one number a row.
        rows: how many rows it takes when the graph fixes that, else 0.
    """

    name: str
    dtype: np.dtype[Any]
    datatype: str
    tail: tuple[int, ...]
    rows: int

    @classmethod
    def of(cls, node: Any) -> Tensor:
        """From onnxruntime's description of a node."""
        dtype, datatype = _DTYPES.get(node.type, ("object", "BYTES"))
        shape = [size if isinstance(size, int) and size > 0 else 0 for size in node.shape]
        tail = tuple(size or 1 for size in shape[1:])
        return cls(node.name, np.dtype(dtype), datatype, tail, shape[0] if shape else 0)


class Column(NamedTuple):
    """A field of the request.

    Attributes:
        name: its name.
        type: `string`, `float`, `int` or `bool`.
        nullable: whether null may stand in it.
        width: how many values a row has.
        tail: the shape of one row.
        datatype: what the metadata says.
        decoder: reads the values of a JSON array if all are in order.
    """

    name: str
    type: str
    nullable: bool
    width: int
    tail: tuple[int, ...]
    datatype: str
    decoder: msgspec.json.Decoder[list[Any]]


class Schema(NamedTuple):
    """The request's columns and the model's tensors.

    Attributes:
        columns: by name, in the package's order.
        inputs: the tensors of the graph, by name.
        floats: inputs that are one float32 a row, fed all at once.
        others: the remaining inputs.
    """

    columns: dict[str, Column]
    inputs: dict[str, Tensor]
    floats: tuple[Tensor, ...]
    others: tuple[Tensor, ...]

    def feeds(self, columns: Mapping[str, Sequence[Any]], rows: int) -> dict[str, Array]:
        """The arrays onnxruntime takes.

        Args:
            columns: at least every input by name, `rows` values each (a list of `width` values where it is wider).
            rows: how many.
        Raises:
            BadInput: a number does not fit the model's type.
        """
        fed: dict[str, Array] = {}
        if self.floats:
            # One conversion for all float columns: 16 rows x 20 columns take 12 us instead of 90.
            wide = np.array([columns[tensor.name] for tensor in self.floats], dtype=np.float64)
            with np.errstate(over="ignore"):
                narrow = wide.astype(np.float32)
            if np.isinf(narrow).any():
                raise _overflow(self.floats, narrow)
            for tensor, values in zip(self.floats, narrow, strict=True):
                fed[tensor.name] = values.reshape(rows, *tensor.tail)
        for tensor in self.others:
            fed[tensor.name] = _array(tensor, columns[tensor.name], rows)
        return fed


def schema_of(package: Package, inputs: Sequence[Tensor]) -> Schema:
    """The schema of a package whose graph has these inputs."""
    known = {tensor.name: tensor for tensor in inputs}
    single = tuple(t for t in inputs if t.dtype == np.float32 and math.prod(t.tail) == 1)
    return Schema(
        columns={field.name: _column(field, known.get(field.name)) for field in package.request.inputs},
        inputs=known,
        floats=single,
        others=tuple(tensor for tensor in inputs if tensor not in single),
    )


def check_values(column: Column, values: Sequence[Any]) -> list[Any]:
    """The values as the column's type, or the first that does not fit.

    Raises:
        BadInput: naming the column and the position.
    """
    return [_value(column, value, position) for position, value in enumerate(values)]


def flatten(values: Any) -> list[Any]:
    """Nested lists as one list, in order; a plain value as a list of one."""
    if not isinstance(values, list):
        return [values]
    flat: list[Any] = []
    waiting = [iter(values)]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, list):
                waiting.append(iter(value))
                break
            flat.append(value)
        else:
            waiting.pop()
    return flat


def _column(field: Field, tensor: Tensor | None) -> Column:
    takes_null = tensor is None or tensor.dtype.kind in "fO"
    kind: Any = _PYTHON[field.type]
    nullable = field.nullable and takes_null
    tail = tensor.tail if tensor is not None else ()
    return Column(
        name=field.name,
        type=field.type,
        nullable=nullable,
        width=math.prod(tail),
        tail=tail,
        datatype=tensor.datatype if tensor is not None else _PLAIN[field.type],
        decoder=msgspec.json.Decoder(list[kind | None] if nullable else list[kind]),
    )


def datatypes_of(column: Column) -> frozenset[str]:
    """The protocol's datatypes a column accepts."""
    return _DATATYPES[column.type]


def _value(column: Column, value: Any, position: int) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if column.nullable:
            return None
        raise _bad(column, position, "is null", f"{column.name!r} must always be known.", "Give a value.")
    fitting = _fitted(column.type, value)
    if fitting is None:
        shown = f"is {value!r}"[:80]
        raise _bad(column, position, shown, f"{column.name!r} is of type {column.type}.", f"Give a {column.type}.")
    return fitting


def _fitted(kind: str, value: Any) -> Any:
    if kind == "string":
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or kind == "bool":
        return value if isinstance(value, bool) and kind == "bool" else None
    if kind == "int":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return int(value) if whole else None
    if not isinstance(value, int | float) or abs(value) > 1.7976931348623157e308:
        return None
    return float(value)


def _array(tensor: Tensor, values: Sequence[Any], rows: int) -> Array:
    shape = (rows, *tensor.tail)
    if tensor.dtype.kind == "O":
        array = np.empty(rows * math.prod(tensor.tail), dtype=object)
        array[:] = ["" if value is None else value for value in _flat(tensor, values)]
        return array.reshape(shape)
    try:
        with np.errstate(over="ignore"):
            array = np.array(_flat(tensor, values), dtype=np.float64 if tensor.dtype.kind == "f" else None)
            if tensor.dtype.kind in "iu":
                _check_range(tensor, array)
            array = array.astype(tensor.dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise _too_large(tensor.name, str(error)) from error
    if tensor.dtype.kind == "f" and np.isinf(array).any():
        raise _too_large(tensor.name, f"{array[np.isinf(array)][0]}")
    return array.reshape(shape)


def _flat(tensor: Tensor, values: Sequence[Any]) -> Sequence[Any]:
    return values if math.prod(tensor.tail) == 1 else [item for row in values for item in row]


def _check_range(tensor: Tensor, array: Array) -> None:
    limits = np.iinfo(tensor.dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise OverflowError(f"{array.min()} to {array.max()} is more than {tensor.datatype} holds")


def _overflow(floats: Sequence[Tensor], narrow: Array) -> BadInput:
    row, position = (int(index[0]) for index in np.nonzero(np.isinf(narrow)))
    return _too_large(floats[row].name, f"element {position} is beyond 3.4e38")


def _too_large(name: str, detail: str) -> BadInput:
    return BadInput(
        f"Input {name!r} does not fit the model: {detail}.",
        why="The model computes in a smaller type.",
        fix="Give a smaller number.",
        at=name,
    )


def _bad(column: Column, position: int, shown: str, why: str, fix: str) -> BadInput:
    return BadInput(f"Input {column.name!r}, element {position}, {shown}.", why=why, fix=fix, at=column.name)
