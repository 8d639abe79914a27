"""Training: from labelled flights to a package that can be served."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import polars as pl
from features import VIEWS, WEATHER

from bucle.ground.core import encode
from bucle.ground.project import Project
from bucle.line import data, features, monitoring, registry, tracking
from bucle.line.pipelines import pipeline, step
from bucle.line.registry import Field, Signature
from bucle.line.registry.lightgbm import to_onnx

WORDS = ["carrier", "origin", "dest"]
"""Inputs that are words; the package carries its vocabulary."""

NUMBERS = [
    *("hour", "minute_of_day", "dow", "distance", "sched_min", "plane_year", "seats"),
    *WEATHER,
    *("carrier_delay_7d", "carrier_late_28d", "origin_delay_7d", "route_delay_28d", "route_late_28d"),
    *("carrier_delay_3h", "carrier_late_3h", "origin_delay_3h", "origin_late_3h", "origin_known_3h"),
    *("here_delay_6h", "here_late_6h"),
]
"""Inputs that are numbers, null where nothing is known."""

REQUEST = Signature(
    inputs=(
        Field(name="flight_id", type="string"),
        Field(name="carrier", type="string"),
        Field(name="tailnum", type="string", nullable=True),
        Field(name="origin", type="string"),
        Field(name="dest", type="string"),
        Field(name="sched_dep_at", type="string"),
        Field(name="sched_arr_local", type="int"),
        Field(name="distance", type="float"),
    )
)
"""What a client knows of a flight when it asks."""

SETTINGS = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.06,
    "min_data_in_leaf": 300,
    "lambda_l2": 30.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 63,
    "metric": "auc",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbose": -1,
}


class Examples(NamedTuple):
    """Labelled flights with their features."""

    train: pl.DataFrame
    holdout: pl.DataFrame


class Trained(NamedTuple):
    """A fitted model and the tracked run that made it."""

    model: bytes
    run: str


@step
def examples(commit: str, until: str, holdout_days: int, project: Project) -> Examples:
    """Flights whose outcome was known by `until`, the last days apart, every feature as of scheduled departure."""
    now = datetime.fromisoformat(until)
    arrivals = data.scan(project, "arrivals", at=commit, where=pl.col("known_at") <= now)
    flights = data.scan(project, "flights", at=commit, where=pl.col("sched_dep_at") <= now)
    spine = flights.join(arrivals.select("flight_id", "late"), on="flight_id").sort("sched_dep_at", "flight_id")
    spine = spine.with_columns(pl.col("distance").cast(pl.Float32))
    rows = features.training_set(project, spine, VIEWS, instant="sched_dep_at", at=commit)
    rows = rows.select("flight_id", "sched_dep_at", *WORDS, *NUMBERS, "late")
    is_old = pl.col("sched_dep_at") < now - timedelta(days=holdout_days)
    return Examples(train=rows.filter(is_old), holdout=rows.filter(~is_old))


@step
def train(rows: Examples, *, commit: str, rounds: int, labels: str, seed: int, project: Project) -> Trained:
    """Gradient-boosted trees; with `labels="shuffled"` they learn nothing, which the gates must notice."""
    truth = rows.train["late"].to_numpy().astype(np.float32)
    if labels == "shuffled":
        truth = np.random.default_rng(seed).permutation(truth)
    words = _vocabulary(rows.train)
    settings = {**SETTINGS, "seed": seed}
    fitted = lightgbm.Dataset(_matrix(rows.train, words), truth, feature_name=[*WORDS, *NUMBERS], params=settings)
    held = fitted.create_valid(_matrix(rows.holdout, words), rows.holdout["late"].to_numpy().astype(np.float32))
    curves: dict[str, dict[str, list[float]]] = {}
    booster = lightgbm.train(
        settings,
        fitted,
        rounds,
        valid_sets=[held],
        valid_names=["holdout"],
        callbacks=[lightgbm.record_evaluation(curves)],
    )
    key = f"flights/{commit}/{rounds}/{labels}/{seed}/{rows.train.height}"
    params = {**settings, "rounds": rounds, "labels": labels, "train_rows": rows.train.height}
    with tracking.start(project, "flights", params=params, inputs=[f"commit/{commit}"], seed=seed, key=key) as run:
        for done, auc in enumerate(curves["holdout"]["auc"], start=1):
            run.log_metrics({"holdout_auc": auc}, step=done)
        run.log_artifact("model.txt", booster.model_to_string().encode())
        return Trained(model=booster.model_to_string().encode(), run=run.id)


@step
def package(fitted: Trained, rows: Examples, project: Project) -> dict[str, Any]:
    """The model as ONNX with its signature, its reference profile and the quality it has on held-out flights."""
    booster = lightgbm.Booster(model_str=fitted.model.decode())
    words = _vocabulary(rows.train)
    onnx = to_onnx(booster, {**words, **dict.fromkeys(NUMBERS)})
    scores = np.asarray(booster.predict(_matrix(rows.holdout, words)))
    quality = monitoring.quality_of(scores, rows.holdout["late"].to_numpy())
    profile = monitoring.profile_of(rows.train.select(*WORDS, *NUMBERS), scores)
    packed = registry.pack(
        project,
        onnx,
        request=REQUEST,
        features=[view.pin for view in VIEWS],
        instant="sched_dep_at",
        entity="flight_id",
        files={"profile.json": encode(profile), "quality.json": encode(quality)},
    )
    metrics = {"auc": quality.auc, "log_loss": quality.log_loss, "brier": quality.brier, "ece": quality.ece}
    return {"package": packed.digest, "run": fitted.run, "metrics": metrics}


@pipeline
def retrain(commit: str, until: str, labels: str = "true", rounds: int = 120, seed: int = 7) -> dict[str, Any]:
    """A candidate from everything known by `until`; the last week is held out for the gates."""
    rows = examples(commit=commit, until=until, holdout_days=7)
    fitted = train(rows, commit=commit, rounds=rounds, labels=labels, seed=seed)
    packed = package(fitted, rows)
    return {**packed, "holdout": rows.holdout}


def _vocabulary(rows: pl.DataFrame) -> dict[str, list[str]]:
    return {word: sorted(rows[word].unique().to_list()) for word in WORDS}


def _matrix(rows: pl.DataFrame, words: dict[str, list[str]]) -> np.ndarray:
    """float32[n, inputs]: words as their place in the vocabulary, -1 for unknown ones; null as not-a-number."""
    coded = [
        pl.col(word).replace_strict(known, list(range(len(known))), default=-1, return_dtype=pl.Float32)
        for word, known in words.items()
    ]
    return rows.select(*coded, pl.col(NUMBERS).cast(pl.Float32)).to_numpy()
