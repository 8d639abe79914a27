"""Trace: why did the model answer that, from what, and would it do so again?"""

from __future__ import annotations

from typing import Any

import polars as pl

from bucle.ground.core import NotFound, Record, decode
from bucle.ground.governance import Approval
from bucle.ground.ledger import Edge
from bucle.ground.project import Project
from bucle.line import data, deploy, features, pipelines, registry, serving
from bucle.line.data import Commit
from bucle.line.deploy import Rollout
from bucle.line.gates import Verdict
from bucle.line.pipelines import StepRun
from bucle.line.registry import ModelVersion
from bucle.line.tracking import Run
from bucle.loop.recipe import recipe_of_version

__all__ = ["NoSuchPrediction", "Proof", "Trace", "reproduce", "trace"]


class NoSuchPrediction(NotFound):
    """No endpoint has a prediction with this id on record."""

    code = "BU1504"


class Answer(Record, frozen=True):
    """A prediction as it was recorded.

    Attributes:
        id: `request/row`.
        endpoint, arm: who answered, and in which part of the traffic.
        at: when, by the endpoint's clock.
        instant: as of when.
        entity: what it is about.
        request: what the client sent.
        features: what the feature views added.
        outputs: the answer.
        score: the number that counts.
        latency_us: how long it took.
    """

    id: str
    endpoint: str
    arm: str
    at: str
    instant: str
    entity: str
    request: dict[str, Any]
    features: dict[str, Any]
    outputs: dict[str, Any]
    score: float
    latency_us: int


class Trace(Record, frozen=True):
    """Everything a prediction came from.

    Attributes:
        answer: the prediction.
        version: the model version that gave it.
        package: its package: files, signature, pinned feature views.
        run: the tracked run that trained it, None for a version registered by hand.
        steps: the steps that made it, in order.
        commit: the data it was trained on.
        verdicts: what the gates said of it.
        approvals: who said yes to exactly these bytes.
        rollout: how it came to answer.
        lineage: the edges from there to the sources.
    """

    answer: Answer
    version: ModelVersion
    package: registry.Package
    run: Run | None
    steps: tuple[StepRun, ...]
    commit: Commit | None
    verdicts: tuple[Verdict, ...]
    approvals: tuple[Approval, ...]
    rollout: Rollout | None
    lineage: tuple[Edge, ...]


class Proof(Record, frozen=True):
    """What doing it all again gave.

    Attributes:
        steps: step -> whether computing it again gave the same bytes.
        package: whether the same package came out.
        features: whether the feature rows, computed again from the tables, equal what the endpoint saw.
        answer: whether the rebuilt model gives the same answer, bit for bit.
        recorded, repeated: the score then and now, as its exact hexadecimal.
    """

    steps: dict[str, bool]
    package: bool
    features: bool
    answer: bool
    recorded: str
    repeated: str

    @property
    def is_identical(self) -> bool:
        """Whether everything came out the same, bit for bit."""
        return all(self.steps.values()) and self.package and self.features and self.answer


def trace(project: Project, prediction: str) -> Trace:
    """Follow a prediction back to its sources.

    Args:
        prediction: its id, `request/row`.
    Raises:
        NoSuchPrediction: none is on record.
    """
    answer, model, number = _find(project, prediction)
    version = registry.version(project, model, number)
    recipe = recipe_of_version(project, version)
    taken = [r for r in deploy.rollouts(project, answer.endpoint) if r.model == model and r.candidate == number]
    return Trace(
        answer=answer,
        version=version,
        package=recipe.package or registry.load_package(project, version.digest),
        run=recipe.run,
        steps=recipe.steps,
        commit=recipe.commit,
        verdicts=recipe.verdicts,
        approvals=recipe.approvals,
        rollout=taken[-1] if taken else None,
        lineage=recipe.lineage,
    )


def reproduce(project: Project, traced: Trace) -> Proof:
    """Compute it all again, in fresh processes and with no cache, and compare bit for bit.

    Every step that made the version runs again from its recorded inputs; the features are computed again from the
    tables as of the prediction's instant; the request the prediction belonged to is put to the rebuilt model.

    Raises:
        BlobMissing: an input is gone.
    Cost: one training.
    """
    again = [pipelines.reproduce(project, run) for run in traced.steps]
    rows = _request_rows(project, traced)
    scores = serving.score(registry.stage_package(project, traced.version.digest, project.state / "packages"), rows)
    row = int(traced.answer.id.rpartition("/")[2])
    repeated = float(scores[row])
    return Proof(
        steps={proof.step: proof.identical for proof in again},
        package=all(proof.identical for proof in again),
        features=_features_agree(project, traced, rows),
        answer=repeated.hex() == traced.answer.score.hex(),
        recorded=traced.answer.score.hex(),
        repeated=repeated.hex(),
    )


def _find(project: Project, prediction: str) -> tuple[Answer, str, int]:
    request = prediction.rpartition("/")[0]
    for endpoint in deploy.endpoints(project):
        told = _rows_of(project, endpoint, request).filter(
            (pl.col("prediction_id") == prediction) & pl.col("score").is_not_null() & (pl.col("arm") != "shadow")
        )
        if told.height:
            row = told.row(0, named=True)
            return _answer(row), row["model"], row["version"]
    raise NoSuchPrediction(
        f"No prediction {prediction!r} is on record.",
        why="A prediction's id is the request's id, a slash, and the number of the row.",
        fix="Look it up in the table 'predictions': bucle data show predictions",
    )


def _rows_of(project: Project, endpoint: str, request: str) -> pl.DataFrame:
    """What is on record of one request: collected, or still in the log."""
    mine = (pl.col("endpoint") == endpoint) & (pl.col("request_id") == request)
    waiting = serving.live(project, endpoint)[0].filter(mine)
    try:
        kept = data.scan(project, serving.PREDICTIONS, columns=list(serving.PREDICTION_COLUMNS), where=mine)
    except NotFound:
        return waiting
    return pl.concat([kept, waiting])


def _answer(row: dict[str, Any]) -> Answer:
    texts = {name: decode(row[name] or "{}", dict[str, Any]) for name in ("request", "features", "outputs")}
    return Answer(
        id=row["prediction_id"],
        endpoint=row["endpoint"],
        arm=row["arm"],
        at=row["at"].isoformat(),
        instant=row["instant"].isoformat(),
        entity=row["entity"],
        score=row["score"],
        latency_us=row["latency_us"],
        **texts,
    )


def _request_rows(project: Project, traced: Trace) -> pl.DataFrame:
    """Every row of the request the prediction belonged to, as the model saw them, in order."""
    request = traced.answer.id.rpartition("/")[0]
    mine = _rows_of(project, traced.answer.endpoint, request).filter(
        (pl.col("version") == traced.version.version) & (pl.col("arm") == traced.answer.arm)
    )
    rows = mine.unique("row", keep="first").sort("row")
    seen = [
        decode(asked, dict[str, Any]) | decode(added, dict[str, Any])
        for asked, added in rows.select("request", "features").iter_rows()
    ]
    types = {**_types(traced.package.request.inputs), **_types(traced.package.signature.inputs)}
    return pl.DataFrame(seen, schema=types, strict=False)


def _types(fields: tuple[registry.Field, ...]) -> dict[str, Any]:
    known = {"string": pl.String, "float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean}
    return {field.name: known[field.type] for field in fields}


def _features_agree(project: Project, traced: Trace, rows: pl.DataFrame) -> bool:
    """Whether the tables, as of the instant, give the very features that were served."""
    package, instant = traced.package, traced.package.instant
    if not package.features or not instant:
        return True
    views = features.pinned_views(features.views_of(project.modules()), package.features)
    asked = rows.select([field.name for field in package.request.inputs])
    if asked.schema[instant] == pl.String:
        asked = asked.with_columns(pl.col(instant).str.to_datetime("%+", time_unit="us", time_zone="UTC"))
    else:
        asked = asked.with_columns(pl.from_epoch(instant, time_unit="us").dt.replace_time_zone("UTC"))
    again = features.training_set(project, asked, views, instant=instant)
    return all(_same(again[name], rows[name]) for name in traced.answer.features)


def _same(again: pl.Series, seen: pl.Series) -> bool:
    left, right = (series.fill_nan(None) if series.dtype.is_float() else series for series in (again, seen))
    return left.to_list() == right.to_list()
