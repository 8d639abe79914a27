"""Reply: an answer in the words of each protocol."""

from __future__ import annotations

from typing import Any

import msgspec

from bucle.ground.core import encode
from bucle.line.serving.endpoint import Answer, State
from bucle.line.serving.route import Arm
from bucle.version import __version__

__all__ = ["infer_reply", "invocation_reply", "model_metadata", "server_metadata"]


class _Output(msgspec.Struct):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any]


class _Inferred(msgspec.Struct):
    model_name: str
    model_version: str
    id: str
    outputs: list[_Output]
    parameters: dict[str, str]


_ENCODER = msgspec.json.Encoder()


def infer_reply(answer: Answer) -> bytes:
    """As Open Inference Protocol v2 says it; `parameters.arm` tells who answered."""
    results = answer.outcome.outputs
    outputs = [
        _Output(tensor.name, results[tensor.name].shape, tensor.datatype, results[tensor.name].ravel().tolist())
        for tensor in answer.model.outputs
    ]
    arm = answer.arm
    return _ENCODER.encode(_Inferred(arm.model, str(arm.version), answer.request.id, outputs, {"arm": answer.name}))


def invocation_reply(answer: Answer) -> bytes:
    """As MLflow's model server says it: a list for one output, a list of records for several."""
    results = {name: values.tolist() for name, values in answer.outcome.outputs.items()}
    if len(results) == 1:
        return _ENCODER.encode({"predictions": next(iter(results.values()))})
    names = list(results)
    return _ENCODER.encode(
        {"predictions": [dict(zip(names, row, strict=True)) for row in zip(*results.values(), strict=True)]}
    )


def server_metadata() -> bytes:
    """Who serves."""
    return encode({"name": "bucle", "version": __version__, "extensions": []})


def model_metadata(state: State, arm: Arm) -> bytes:
    """What a model takes and gives. Clients send what the champion's package asks for, whoever answers."""
    model = state.models[arm.package]
    versions = sorted({str(each.version) for each in state.routes.arms if each.model == arm.model})
    return encode(
        {
            "name": arm.model,
            "versions": versions,
            "platform": "onnx_onnxv1",
            "inputs": [
                {"name": column.name, "datatype": column.datatype, "shape": [-1, *column.tail]}
                for column in state.champion.schema.columns.values()
            ],
            "outputs": [
                {"name": tensor.name, "datatype": tensor.datatype, "shape": [-1, *tensor.tail]}
                for tensor in model.outputs
            ],
        }
    )
