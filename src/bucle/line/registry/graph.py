"""Reading an ONNX model: is it one that every runtime can answer with, and what does it take and give?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bucle.line.registry.errors import BadOnnx
from bucle.line.registry.signature import Field, FieldType, Signature

__all__ = ["read_signature"]

STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""The operator sets of the ONNX standard: what every conforming runtime has."""

_DTYPES: Mapping[str, tuple[FieldType, str]] = {
    "tensor(string)": ("string", "str"),
    "tensor(bool)": ("bool", "bool"),
    "tensor(float16)": ("float", "float16"),
    "tensor(float)": ("float", "float32"),
    "tensor(double)": ("float", "float64"),
    **{f"tensor({kind}{bits})": ("int", f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


def read_signature(content: bytes) -> Signature:
    """What a model takes and gives, read from its graph and tried in onnxruntime.

    A float input is nullable when the model answers a row that lacks it (NaN) with finite numbers: measured, not
    declared.

    Args:
        content: a serialized `ModelProto`, self-contained.
    Raises:
        BadOnnx: it is no valid model, does not load, has operators outside the standard, keeps weights in other
            files, or an input or output is no tensor with one row per answer.
    Cost: one load of the model; the first call imports onnx (0.3 s).
    Source: ONNX IR specification, https://github.com/onnx/onnx/blob/main/docs/IR.md
    """
    _check_graph(content)
    session = _load(content)
    inputs = tuple(_field(item, "input") for item in session.get_inputs())
    outputs = tuple(_field(item, "output") for item in session.get_outputs())
    if not inputs or not outputs:
        raise BadOnnx("The ONNX model has no inputs or no outputs.", why="It could not be asked anything.", fix=_FIX)
    return Signature(inputs=tuple(_with_null(session, inputs, field) for field in inputs), outputs=outputs)


_FIX = "Export the model again, e.g. with bucle.line.registry.lightgbm.to_onnx or skl2onnx.convert_sklearn."


def _check_graph(content: bytes) -> None:
    import onnx  # noqa: PLC0415  slow to load, and reading a package needs it not
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        model = onnx.load_from_string(content)
        foreign = sorted({f"{domain}::{operator}" for domain, operator in _foreign_operators(model)})
        outside = sorted(name for name in _external_tensors(model))
        if not foreign and not outside:
            onnx.checker.check_model(content)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadOnnx(f"These bytes are no valid ONNX model: {reason}.", fix=_FIX) from error
    if outside:
        raise BadOnnx(
            f"The ONNX model keeps {', '.join(map(repr, outside[:3]))} in other files.",
            why="A package is one file that answers anywhere; a weight beside it could change or be lost.",
            fix='Save it whole: onnx.save(model, "model.onnx", save_as_external_data=False).',
        )
    if foreign:
        raise BadOnnx(
            f"The ONNX model uses the operators {', '.join(foreign[:3])}, which are not in the ONNX standard.",
            why="They would need code that is not in the package, so another runtime could not answer.",
            fix=f"Export with the operator sets {' and '.join(repr(d) for d in STANDARD_DOMAINS[1:])} only.",
        )


def _foreign_operators(model: Any) -> Iterator[tuple[str, str]]:
    local = {(function.domain, function.name) for function in model.functions}
    bodies = [model.graph, *model.functions]
    while bodies:
        for node in bodies.pop().node:
            if node.domain not in STANDARD_DOMAINS and (node.domain, node.op_type) not in local:
                yield node.domain, node.op_type
            for attribute in node.attribute:
                bodies.extend([attribute.g] if attribute.HasField("g") else [])
                bodies.extend(attribute.graphs)


def _external_tensors(model: Any) -> Iterator[str]:
    """Names of the tensors, at any depth, that lie outside the model's own bytes."""
    bodies = [model.graph, *model.functions]
    while bodies:
        body = bodies.pop()
        tensors = list(getattr(body, "initializer", ()))
        for sparse in getattr(body, "sparse_initializer", ()):
            tensors += [sparse.values, sparse.indices]
        for attribute in (attribute for node in body.node for attribute in node.attribute):
            tensors += [attribute.t, *attribute.tensors]
            bodies.extend([attribute.g] if attribute.HasField("g") else [])
            bodies.extend(attribute.graphs)
        yield from (tensor.name or "a tensor" for tensor in tensors if tensor.data_location == tensor.EXTERNAL)


def _load(content: bytes) -> Any:
    import onnxruntime  # noqa: PLC0415  slow to load, and reading a package needs it not

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise BadOnnx(
            f"onnxruntime cannot load the model: {error}.", why="The endpoint could not either.", fix=_FIX
        ) from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415

    return (
        RuntimeError,
        ValueError,
        state.EngineError,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )


def _field(item: Any, role: str) -> Field:
    kind = _DTYPES.get(item.type)
    if kind is None:
        raise BadOnnx(
            f"The model's {role} {item.name!r} is a {item.type}, not a tensor of texts, numbers or truth values.",
            why="A client could not send or read it.",
            fix="For scikit-learn: convert_sklearn(..., options={'zipmap': False}).",
            at=item.name,
        )
    rows, *rest = item.shape or (None,)
    if isinstance(rows, int):
        raise BadOnnx(
            f"The model's {role} {item.name!r} has room for {rows} rows only: its shape is {item.shape}.",
            why="A request may have any number of rows.",
            fix="Export it with a free first dimension, e.g. FloatTensorType([None, 12]).",
            at=item.name,
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in rest)
    return Field(name=item.name, type=kind[0], dtype=kind[1], shape=shape)


def _with_null(session: Any, inputs: tuple[Field, ...], field: Field) -> Field:
    if field.type != "float" or not _answers_without(session, inputs, field.name):
        return field
    return Field(name=field.name, type=field.type, nullable=True, dtype=field.dtype, shape=field.shape)


def _answers_without(session: Any, inputs: tuple[Field, ...], missing: str) -> bool:
    row = {field.name: _blank(field) for field in inputs}
    row[missing] = np.full_like(row[missing], np.nan)
    try:
        answers = session.run(None, row)
    except _runtime_errors():
        return False
    return all(np.isfinite(answer).all() for answer in answers if answer.dtype.kind == "f")


def _blank(field: Field) -> np.ndarray[Any, Any]:
    shape = (1, *(1 if size < 0 else size for size in field.shape))
    if field.type == "string":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=field.dtype)
