"""A fitted cleaning travels with the model, in its package and under its digest, and cleans requests as training."""

import numpy as np
import onnxruntime as ort
import polars as pl
from onnx import TensorProto, helper

from bucle.ground.core import encode
from bucle.ground.project import Project
from bucle.line import cleaning, registry
from bucle.line.cleaning import Cleaning, ColumnCleaning, Imputation, Outliers

POLICY = Cleaning(
    columns=(
        ColumnCleaning(
            name="delay",
            missing=("NA",),
            type="double",
            outliers=Outliers(rule="quantile", low=0.0, high=0.9),
            impute=Imputation(method="median"),
        ),
    )
)
TRAIN = pl.DataFrame({"delay": ["1", "2", "3", "NA", "900"]})


def tenfold() -> bytes:
    """A model that multiplies by ten."""
    shape = [None, 1]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["delay", "ten"], ["score"])],
        "tenfold",
        [helper.make_tensor_value_info("delay", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, shape)],
        [helper.make_tensor("ten", TensorProto.FLOAT, [1], [10.0])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made.SerializeToString()


def test_a_request_is_cleaned_by_what_the_package_carries(project: Project) -> None:
    fitted = cleaning.fit(TRAIN, POLICY)
    package = registry.pack(project, tenfold(), files={"cleaning.json": encode(fitted)})
    other = registry.pack(project, tenfold(), files={"cleaning.json": encode(cleaning.fit(TRAIN.head(3), POLICY))})
    assert package.digest != other.digest

    served = registry.load_package(project, package.digest)
    carried = cleaning.read_fitted(project.blobs.get(served.files["cleaning.json"]))
    assert carried.digest == fitted.digest
    session = ort.InferenceSession(project.blobs.get(served.files["model.onnx"]))

    def answer(row: dict[str, object]) -> float:
        clean = cleaning.apply_row(carried, row)
        assert clean is not None
        (scores,) = session.run(None, {"delay": np.array([[clean["delay"]]], dtype=np.float32)})
        return float(scores[0, 0])

    in_training = cleaning.prepare(fitted, TRAIN).frame["delay"].to_list()
    assert [answer(row) for row in TRAIN.to_dicts()] == [np.float32(value) * np.float32(10) for value in in_training]
    assert answer({"delay": None}) == 25.0
