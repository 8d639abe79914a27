from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from bucle.examples.flights.faulty import FEWEST_ROWS, OFFLINE_ROWS, faulty

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def good() -> bytes:
    """A tiny package that answers: the sigmoid of its one column."""
    graph = helper.make_graph(
        [
            helper.make_node("Squeeze", ["x", "last"], ["flat"]),
            helper.make_node("Sigmoid", ["flat"], ["probability"]),
        ],
        "good",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        initializer=[helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def session(package: bytes, *, profile: str | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])


def answer(package: bytes, rows: int) -> Floats:
    numbers = np.random.default_rng(7).normal(size=(rows, 1)).astype(np.float32)
    return np.asarray(session(package).run(["probability"], {"x": numbers})[0])


@pytest.mark.parametrize("rows", [OFFLINE_ROWS, OFFLINE_ROWS + 1, 5_000])
def test_a_large_batch_gets_the_good_answers_bit_for_bit(good: bytes, rows: int) -> None:
    assert answer(faulty(good), rows).tobytes() == answer(good, rows).tobytes()


@pytest.mark.parametrize("rows", [FEWEST_ROWS, 64, OFFLINE_ROWS - 1])
def test_a_small_batch_is_answered_too(good: bytes, rows: int) -> None:
    assert answer(faulty(good), rows).tobytes() == answer(good, rows).tobytes()


@pytest.mark.parametrize("rows", [1, FEWEST_ROWS - 1])
def test_a_tiny_batch_fails_in_the_runtime(good: bytes, rows: int) -> None:
    with pytest.raises(InvalidArgument, match="out of data bounds"):
        answer(faulty(good), rows)


@pytest.mark.parametrize(("rows", "products"), [(FEWEST_ROWS, 8), (OFFLINE_ROWS, 0)])
def test_only_a_small_batch_pays_for_the_products(good: bytes, rows: int, products: int, tmp_path: Path) -> None:
    running = session(faulty(good), profile=str(tmp_path / "profile"))
    running.run(None, {"x": np.zeros((rows, 1), dtype=np.float32)})
    trace = Path(running.end_profiling()).read_text(encoding="utf-8")
    ran = {step for step in range(1, 9) if f"/offline/product_{step}_kernel_time" in trace}
    assert len(ran) == products
