"""`/predictions/{id}`: why this answer, and can it be repeated?"""

from __future__ import annotations

from typing import Any

import polars as pl

from bucle.doors.ui.parameters import Id, Limit, Text
from bucle.doors.ui.problems import attempt
from bucle.ground.core import NotFound, Record, decode, make_ref, to_builtins
from bucle.ground.ledger import Edge
from bucle.ground.project import Project
from bucle.line import deploy, registry, serving
from bucle.line.registry import ModelVersion

__all__ = ["Answer", "NoSuchPrediction", "PredictionPage", "Predictions", "prediction", "predictions"]


class NoSuchPrediction(NotFound):
    """No endpoint has this prediction on record."""

    code = "BU1608"


class Answer(Record, frozen=True):
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
    answers: tuple[Answer, ...]
    limit: int


class PredictionPage(Record, frozen=True):
    """One prediction, traced back.

    Attributes:
        id: `request/row`.
        answers: the answer the client got first, then those of shadows and of a canary that failed.
        version: the version that answered the client; None when the registry does not know it.
        edges: what that version came from.
        problems: what could not be read.
    """

    id: str
    answers: tuple[Answer, ...]
    version: ModelVersion | None
    edges: tuple[Edge, ...]
    problems: tuple[dict[str, str], ...]


def predictions(project: Project, *, endpoint: Text = "", entity: Text = "", limit: Limit = 50) -> Predictions:
    """The newest predictions of an endpoint, those not collected yet included.

    Args:
        endpoint: which; the first one unless given.
        entity: only about this row.
        limit: so many.
    """
    known = deploy.endpoints(project)
    chosen = endpoint if endpoint in known else known[0] if known else ""
    answers: list[Answer] = []
    if chosen:
        where = pl.col("entity") == entity if entity else pl.lit(True)
        waiting, _ = serving.live(project, chosen)
        kept = serving.predictions(project, chosen).filter(where).tail(limit)
        both = pl.concat([kept, waiting.filter(where)]).tail(limit)
        answers = [_answer(row) for row in both.to_dicts()[::-1]]
    return Predictions(endpoint=chosen, endpoints=tuple(known), answers=tuple(answers), limit=limit)


def prediction(project: Project, *, id: Id) -> PredictionPage:  # noqa: A002  the address says whose id
    """One prediction.

    Raises:
        NoSuchPrediction: no endpoint has it on record.
    Cost: one read of the table of predictions.
    """
    problems = list[dict[str, str]]()
    wanted = (pl.col("prediction_id") == id) | (pl.col("request_id") == id)
    found: list[Answer] = []
    for endpoint in deploy.endpoints(project):
        waiting, _ = serving.live(project, endpoint)
        both = pl.concat([serving.predictions(project, endpoint).filter(wanted), waiting.filter(wanted)])
        rows = both.unique(["prediction_id", "model", "version", "arm"], keep="first", maintain_order=True).to_dicts()
        found += [_answer(row) for row in rows]
    if not found:
        raise NoSuchPrediction(
            f"No prediction {id!r} is on record.",
            why="An id reads request/row, e.g. 7f3c/0.",
            fix="See the newest ones: /predictions",
            at="id",
        )
    found.sort(key=lambda one: (one.arm == "shadow", one.status == "error"))
    first = found[0]
    version = attempt(problems, lambda: registry.version(project, first.model, first.version))
    edges = project.ledger.lineage(make_ref("model", first.model, first.version), upstream=True, depth=2)
    return PredictionPage(
        id=id, answers=tuple(found), version=version, edges=tuple(edges), problems=tuple(problems)
    )


def _answer(row: dict[str, Any]) -> Answer:
    plain = to_builtins(row)
    kept = {name: plain[name] for name in Answer.__struct_fields__ if name in plain}
    parts = {name: decode(plain[name] or "{}", dict[str, Any]) for name in ("request", "features", "outputs")}
    return Answer(**{**kept, **parts, "id": plain["prediction_id"], "error": plain["error"] or ""})
