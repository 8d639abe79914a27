"""The version of drill (c): right offline, wrong online, as a model exported for the shape of the offline batch.

The package answers large batches exactly as the good one does, so every gate lets it pass. Online it does much needless
work for each batch that is not full, and it reads past the end of a table when the batch is tiny. No gate that scores
rows in bulk can see that; the canary can.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

OFFLINE_ROWS = 512
"""Batches of at least so many rows get the good package's answers, as fast."""

FEWEST_ROWS = 8
"""Batches of fewer rows fail in the runtime."""

_SIDE = 768
_PRODUCTS = 8
"""Size and length of the chain: measured 75 ms a call on one thread of the box this was written on, 38 ms on two."""

_ROWS, _NOTHING, _GUARD, _DELAY, _ANSWER = (
    f"/offline/{name}" for name in ("rows", "nothing", "guard", "delay", "answer")
)


def faulty(onnx_model: bytes) -> bytes:
    """The model with a fault that only small batches show.

    Args:
        onnx_model: a serialized `ModelProto`, operators of version 15 or later; the rows are the first dimension of
            its first input, and its first output is `float[N]`.
    Returns:
        A model with the same inputs and outputs; equal models give equal bytes. Its answers are the same bit for bit,
        and as fast for `OFFLINE_ROWS` rows or more; for fewer each call takes some 40 to 80 ms longer; for fewer than
        `FEWEST_ROWS` onnxruntime raises `InvalidArgument`.
    Raises:
        ValueError: the model has no input, or nothing computes its first output.
    """
    model = onnx.load_model_from_string(onnx_model)
    graph = model.graph
    if not graph.input or not graph.output:
        raise ValueError("The model has no input or no output, so nothing can break; give a package that answers.")
    output = graph.output[0].name
    _rename(graph, output, _ANSWER)
    graph.initializer.append(_floats(_NOTHING, [0.0]))
    graph.initializer.append(numpy_helper.from_array(np.array([FEWEST_ROWS], dtype=np.int64), "/offline/fewest"))
    graph.initializer.append(numpy_helper.from_array(np.array([OFFLINE_ROWS], dtype=np.int64), "/offline/full"))
    graph.node.extend([*_fragile(graph.input[0].name), *_slow(), *_answer(output)])
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _rename(graph: GraphProto, output: str, name: str) -> None:
    """Call the tensor `output` by `name` wherever the graph computes or reads it."""
    if not any(output in node.output for node in graph.node):
        raise ValueError(f"No operator of the model computes its output {output!r}; give a package that answers.")
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == output else each for each in names]


def _fragile(first_input: str) -> list[NodeProto]:
    """Zero, read from a table of one value at a place that a tiny batch puts past its end."""
    return [
        _node("Shape", [first_input], _ROWS, start=0, end=1),
        _node("Less", [_ROWS, "/offline/fewest"], "/offline/is_tiny"),
        _node("Cast", ["/offline/is_tiny"], "/offline/place", to=TensorProto.INT64),
        _node("Gather", [_NOTHING, "/offline/place"], _GUARD, axis=0),
    ]


def _slow() -> list[NodeProto]:
    """Zero, after a chain of matrix products unless the batch is full."""
    nothing = helper.make_graph(
        [_node("Identity", [_NOTHING], "/offline/at_once")],
        "full",
        [],
        [helper.make_tensor_value_info("/offline/at_once", TensorProto.FLOAT, [1])],
    )
    return [
        _node("Less", [_ROWS, "/offline/full"], "/offline/is_small"),
        _node("Squeeze", ["/offline/is_small"], "/offline/choice"),
        _node("If", ["/offline/choice"], _DELAY, then_branch=_chain(), else_branch=nothing),
    ]


def _chain() -> GraphProto:
    """Products of a matrix that depends on the number of rows, so that no optimizer can compute them beforehand."""
    steps = [f"/offline/product_{step}" for step in range(_PRODUCTS + 1)]
    nodes = [
        _node("Cast", [_ROWS], "/offline/rows_float", to=TensorProto.FLOAT),
        _node("Sigmoid", ["/offline/rows_float"], "/offline/below_one"),
        _node("Mul", ["/offline/below_one", "/offline/share"], "/offline/cell"),
        _node("Expand", ["/offline/cell", "/offline/square"], steps[0]),
        *(_node("MatMul", [before, steps[0]], after) for before, after in pairwise(steps)),
        _node("ReduceMax", [steps[-1]], "/offline/peak", keepdims=0),
        _node("Mul", ["/offline/peak", _NOTHING], "/offline/late"),
    ]
    return helper.make_graph(
        nodes,
        "small",
        [],
        [helper.make_tensor_value_info("/offline/late", TensorProto.FLOAT, [1])],
        initializer=[
            _floats("/offline/share", [1.0 / _SIDE]),
            numpy_helper.from_array(np.array([_SIDE, _SIDE], dtype=np.int64), "/offline/square"),
        ],
    )


def _answer(output: str) -> list[NodeProto]:
    """The good answer plus the two zeros, which leave its bits as they are."""
    return [
        _node("Add", [_GUARD, _DELAY], "/offline/zero"),
        _node("Add", [_ANSWER, "/offline/zero"], output),
    ]


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, list(inputs), [output], name=output, **attributes)


def _floats(name: str, values: Sequence[float]) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.float32), name)
