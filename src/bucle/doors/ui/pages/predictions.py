"""`/predictions/{id}`: why this answer, and can it be repeated?"""

from __future__ import annotations

from typing import Any

import polars as pl

from bucle.doors.ui.parameters import Id, Limit, Text
from bucle.ground.core import Record, decode, to_builtins
from bucle.ground.project import Project
from bucle.line import deploy, serving
from bucle.loop import Trace, trace

__all__ = ["PredictionPage", "Predictions", "Recorded", "prediction", "predictions"]


class Recorded(Record, frozen=True):
    """One row that one version answered.

    Attributes:
        id: `request/row`.
        at: when, by the machine's clock.
        instant: the instant the prediction was made for.
        endpoint, model, version, arm: who answered.
        package: the digest of the package it answered with.
        entity: which row this is to the client.
        status: `ok`, `error`, ….
        error: what went wrong.
        latency_us: of the whole request.
        request: what the client sent.
        features: what the views added.
        outputs: what the model gave.
        score: the number that is judged.
    """

    id: str
    at: str
    instant: str
    endpoint: str
    model: str
    version: int
    package: str
    arm: str
    entity: str
    status: str
    error: str
    latency_us: int
    request: dict[str, Any]
    features: dict[str, Any]
    outputs: dict[str, Any]
    score: float | None


class Predictions(Record, frozen=True):
    """The newest predictions of an endpoint.

    Attributes:
        endpoint: the endpoint.
        endpoints: all there are.
        answers: newest first.
        limit: so many at most.
    """

    endpoint: str
    endpoints: tuple[str, ...]
    answers: tuple[Recorded, ...]
    limit: int


class PredictionPage(Record, frozen=True):
    """One prediction, traced back.

    Attributes:
        trace: the answer the client got, and everything it came from.
        others: what else answered the same row: shadows, and a canary that failed.
        reproduce: the command that does it all again and compares bit for bit.
    """

    trace: Trace
    others: tuple[Recorded, ...]
    reproduce: str


def predictions(project: Project, *, endpoint: Text = "", entity: Text = "", limit: Limit = 50) -> Predictions:
    """The newest predictions of an endpoint, those not collected yet included.

    Args:
        endpoint: which; the first one unless given.
        entity: only about this row.
        limit: so many.
    """
    known = deploy.endpoints(project)
    chosen = endpoint if endpoint in known else known[0] if known else ""
    answers: list[Recorded] = []
    if chosen:
        where = pl.col("entity") == entity if entity else pl.lit(True)
        waiting, _ = serving.live(project, chosen)
        kept = serving.predictions(project, chosen).filter(where).tail(limit)
        both = pl.concat([kept, waiting.filter(where)]).tail(limit)
        answers = [_answer(row) for row in both.to_dicts()[::-1]]
    return Predictions(endpoint=chosen, endpoints=tuple(known), answers=tuple(answers), limit=limit)


def prediction(project: Project, *, id: Id) -> PredictionPage:  # noqa: A002  the address says whose id
    """One prediction.

    Args:
        id: `request/row`; the first row when there is no slash.
    Raises:
        NoSuchPrediction: no endpoint has it on record.
    Cost: one read of the table of predictions.
    """
    found = trace(project, id if "/" in id else f"{id}/0")
    endpoint, wanted = found.answer.endpoint, pl.col("prediction_id") == found.answer.id
    waiting, _ = serving.live(project, endpoint)
    both = pl.concat([serving.predictions(project, endpoint).filter(wanted), waiting.filter(wanted)])
    rows = both.unique(["prediction_id", "model", "version", "arm"], keep="first", maintain_order=True).to_dicts()
    told = (found.version.model, found.version.version, found.answer.arm)
    others = [one for one in map(_answer, rows) if (one.model, one.version, one.arm) != told]
    return PredictionPage(trace=found, others=tuple(others), reproduce=f"bucle trace {found.answer.id} --reproduce")


def _answer(row: dict[str, Any]) -> Recorded:
    plain = to_builtins(row)
    kept = {name: plain[name] for name in Recorded.__struct_fields__ if name in plain}
    parts = {name: decode(plain[name] or "{}", dict[str, Any]) for name in ("request", "features", "outputs")}
    return Recorded(**{**kept, **parts, "id": plain["prediction_id"], "error": plain["error"] or ""})
