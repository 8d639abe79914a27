"""Schema: what a package wants from a client, ready to check requests and to feed the model fast."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bucle.line.registry import Field, Package
from bucle.line.serving.errors import BadInput

__all__ = ["Column", "Schema", "Tensor", "check_values", "flatten", "schema_of"]

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
_PACKED = 4096
"""More numbers than this at once are left to numpy."""

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
        datatypes: what a client may say.
        decoder: reads the values of a JSON array if all are in order.
    """

    name: str
    type: str
    nullable: bool
    width: int
    tail: tuple[int, ...]
    datatype: str
    datatypes: frozenset[str]
    decoder: msgspec.json.Decoder[list[Any]]


class Group(NamedTuple):
    """Inputs of one type and shape with one value a row: made into arrays all at once.

    Attributes:
        names: of the inputs.
        dtype: what onnxruntime takes.
        tail: the shape of one row.
    """

    names: tuple[str, ...]
    dtype: np.dtype[Any]
    tail: tuple[int, ...]


class Schema(NamedTuple):
    """The request's columns and the model's tensors.

    Attributes:
        columns: by name, in the package's order.
        inputs: the tensors of the graph, by name.
        groups: the floats and strings with one value a row.
        others: the remaining inputs.
    """

    columns: dict[str, Column]
    inputs: dict[str, Tensor]
    groups: tuple[Group, ...]
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
        for group in self.groups:
            stacked = _stacked(group, [columns[name] for name in group.names])
            fed.update(zip(group.names, stacked.reshape(-1, rows, *group.tail), strict=True))
        for tensor in self.others:
            fed[tensor.name] = _array(tensor, columns[tensor.name], rows)
        return fed


def schema_of(package: Package, inputs: Sequence[Tensor]) -> Schema:
    """The schema of a package whose graph has these inputs."""
    known = {tensor.name: tensor for tensor in inputs}
    kinds = dict.fromkeys((t.dtype, t.tail) for t in inputs if t.dtype.kind in "fO" and math.prod(t.tail) == 1)
    groups = tuple(
        Group(tuple(t.name for t in inputs if (t.dtype, t.tail) == kind), dtype=kind[0], tail=kind[1]) for kind in kinds
    )
    return Schema(
        columns={field.name: _column(field, known.get(field.name)) for field in package.request.inputs},
        inputs=known,
        groups=groups,
        others=tuple(tensor for tensor in inputs if (tensor.dtype, tensor.tail) not in kinds),
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
        datatypes=_DATATYPES[field.type],
        decoder=msgspec.json.Decoder(list[kind | None] if nullable else list[kind]),
    )


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


def _stacked(group: Group, values: list[Sequence[Any]]) -> Array:
    """The columns of a group, one a row of the array; None becomes NaN or the empty string."""
    if group.dtype.kind == "O":
        if any(None in column for column in values):
            values = [["" if value is None else value for value in column] for column in values]
        return np.array(values, dtype=object)
    if group.dtype == np.float32 and len(values) * len(values[0]) <= _PACKED:
        packed = _packed(values)
        if packed is not None:
            return packed
    wide = np.array(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(group.dtype)
    lost = np.isinf(narrow) & ~np.isinf(wide)
    if lost.any():
        column, row = (int(index[0]) for index in np.nonzero(lost))
        raise _too_large(group.names[column], f"element {row} is beyond {np.finfo(group.dtype).max:.3g}")
    return narrow


def _packed(values: list[Sequence[Any]]) -> Array | None:
    """The columns as float32, None when one value is missing or too large: 4 us where numpy's own way takes 15."""
    flat: list[Any] = []
    for column in values:
        flat += column
    try:
        # "<" is the form that checks for overflow; the native one gives infinity.
        return np.frombuffer(struct.pack(f"<{len(flat)}f", *flat), dtype="<f4").reshape(len(values), -1)
    except (struct.error, OverflowError):
        return None


def _array(tensor: Tensor, values: Sequence[Any], rows: int) -> Array:
    flat = _flat(tensor, values)
    if tensor.dtype.kind in "fO":
        stacked = _stacked(Group((tensor.name,), tensor.dtype, tensor.tail), [flat])
        return stacked.reshape(rows, *tensor.tail)
    try:
        array = np.array(flat)
        if tensor.dtype.kind in "iu":
            _check_range(tensor, array)
        array = array.astype(tensor.dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise _too_large(tensor.name, str(error)) from error
    return array.reshape(rows, *tensor.tail)


def _flat(tensor: Tensor, values: Sequence[Any]) -> Sequence[Any]:
    return values if math.prod(tensor.tail) == 1 else [item for row in values for item in row]


def _check_range(tensor: Tensor, array: Array) -> None:
    limits = np.iinfo(tensor.dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise OverflowError(f"{array.min()} to {array.max()} is more than {tensor.datatype} holds")


def _too_large(name: str, detail: str) -> BadInput:
    return BadInput(
        f"Input {name!r} does not fit the model: {detail}.",
        why="The model computes in a smaller type.",
        fix="Give a smaller number.",
        at=name,
    )


def _bad(column: Column, position: int, shown: str, why: str, fix: str) -> BadInput:
    return BadInput(f"Input {column.name!r}, element {position}, {shown}.", why=why, fix=fix, at=column.name)
