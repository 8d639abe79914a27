"""A logistic regression by numpy, written out as ONNX: small enough to be trained a hundred times in a test."""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from bucle.ground.core import encode
from bucle.ground.project import Project
from bucle.line import data, monitoring, registry, tracking
from bucle.line.pipelines import pipeline, step
from bucle.line.registry import Field, Signature

COLUMNS = ["x", "y"]


class Rows(NamedTuple):
    train: pl.DataFrame
    holdout: pl.DataFrame


@step
def rows(commit: str, until: str, project: Project) -> Rows:
    known = pl.col("known_at") <= datetime.fromisoformat(until)
    labels = data.scan(project, "outcomes", at=commit, where=known)
    found = data.scan(project, "visits", at=commit).join(labels, on="id").sort("id")
    return Rows(train=found[::2], holdout=found[1::2])


@step
def fit(examples: Rows, commit: str, project: Project) -> dict[str, Any]:
    features = examples.train.select(COLUMNS).to_numpy()
    truth = examples.train["bought"].to_numpy().astype(np.float64)
    weights = np.zeros(3)
    design = np.column_stack([features, np.ones(len(features))])
    for _ in range(200):
        guess = 1 / (1 + np.exp(-design @ weights))
        weights += 0.5 * design.T @ (truth - guess) / len(truth)
    scores = 1 / (1 + np.exp(-(examples.holdout.select(COLUMNS).to_numpy() @ weights[:2] + weights[2])))
    quality = monitoring.quality_of(scores, examples.holdout["bought"].to_numpy())
    with tracking.start(project, "toy", inputs=[f"commit/{commit}"], key=f"toy/{commit}/{len(truth)}") as run:
        run.log_metrics({"auc": quality.auc})
    packed = registry.pack(
        project,
        written(weights),
        request=Signature(
            inputs=(
                Field(name="id", type="string"),
                Field(name="at", type="string"),
                *(Field(name=column, type="float") for column in COLUMNS),
            )
        ),
        instant="at",
        entity="id",
        files={
            "profile.json": encode(monitoring.profile_of(examples.train.select(COLUMNS), scores)),
            "quality.json": encode(quality),
        },
    )
    return {"package": packed.digest, "run": run.id, "metrics": {"auc": quality.auc}}


@pipeline
def retrain(commit: str, until: str) -> dict[str, Any]:
    examples = rows(commit=commit, until=until)
    return {**fit(examples, commit=commit), "holdout": examples.holdout}


def written(weights: np.ndarray) -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("Concat", COLUMNS, ["row"], axis=1),
            helper.make_node("Gemm", ["row", "w", "b"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["wide"]),
            helper.make_node("Reshape", ["wide", "flat"], ["probability"]),
        ],
        "toy",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in COLUMNS],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        [
            numpy_helper.from_array(weights[:2, None].astype(np.float32), "w"),
            numpy_helper.from_array(weights[2:].astype(np.float32), "b"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString(deterministic=True)
