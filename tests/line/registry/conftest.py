"""Small ONNX models, made by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from bucle.ground.project import Project
from bucle.line import registry

ModelMaker = Callable[[float], bytes]


def linear_model(weight: float = 1.0) -> bytes:
    """probability[N] = sigmoid(weight * temp + code(carrier) + seats), with inputs carrier, temp and seats."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["carrier"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=["AA", "UA"],
            values_floats=[0.0, 1.0],
            default_float=-1.0,
        ),
        helper.make_node("Mul", ["temp", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "code"], ["with_carrier"]),
        helper.make_node("Cast", ["seats"], ["seats_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["with_carrier", "seats_float"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            helper.make_tensor_value_info("carrier", TensorProto.STRING, ["N", 1]),
            helper.make_tensor_value_info("temp", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("seats", TensorProto.INT64, ["N", 1]),
        ],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        initializer=[
            numpy_helper.from_array(np.array([weight], dtype=np.float32), "weight"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(deterministic=True)


@pytest.fixture
def model_onnx() -> ModelMaker:
    return linear_model


@pytest.fixture
def package(project: Project) -> registry.Package:
    return registry.pack(project, linear_model())
