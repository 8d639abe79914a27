"""Held out: the rows a pipeline kept apart, where the truth arrives, and what versions say of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.ground.core import UserError
from bucle.ground.project import Project
from bucle.line import data, gates, pipelines, registry, serving
from bucle.line.registry import ModelVersion
from bucle.loop.policy import Policy

__all__ = ["NothingHeldOut", "evidence_on", "held_out", "labels_of", "read_rows", "scores_of"]


class NothingHeldOut(UserError):
    """The pipeline that made a version kept no rows apart."""

    code = "BU1509"


def held_out(project: Project, version: ModelVersion) -> pl.DataFrame:
    """The rows that a version's pipeline kept apart, as its result `holdout`.

    Raises:
        NothingHeldOut: it kept none, or no pipeline made the version.
        BlobMissing: they were removed.
    """
    result = pipelines.execution(project, version.execution).result if version.execution else None
    holdout = result.get("holdout") if isinstance(result, dict) else None
    if isinstance(holdout, dict) and "blob" in holdout:
        return read_rows(project, str(holdout["blob"]))
    raise NothingHeldOut(
        f"There are no rows to judge {version.ref} on.",
        why="The gates look at the frame `holdout` that the version's pipeline returned.",
        fix=f"Let the loop judge it: bucle loop request {version.model} --version {version.version}",
        at=version.ref,
    )


def read_rows(project: Project, blob: str) -> pl.DataFrame:
    """A frame that a step gave. Raises: BlobMissing."""
    return pl.read_ipc(io.BytesIO(project.blobs.get(blob)))


def scores_of(project: Project, version: ModelVersion, rows: pl.DataFrame) -> NDArray[np.float64]:
    """What a version says of rows; errors as for `serving.score`."""
    return serving.score(registry.stage_package(project, version.digest, project.state / "packages"), rows)


def evidence_on(
    project: Project,
    policy: Policy,
    rows: pl.DataFrame,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    *,
    judges: Iterable[gates.Gate],
) -> gates.Evidence:
    """The same rows as they came true and as each version foresaw them, with the columns that gates part them by."""
    columns = {column for gate in judges for column in getattr(gate, "columns", ())}
    return gates.Evidence(
        labels=rows[policy.labels.label].to_numpy().astype(np.bool_),
        challenger=scores_of(project, challenger, rows),
        champion=scores_of(project, champion, rows) if champion else None,
        slices={column: rows[column].to_numpy() for column in sorted(columns)},
    )


def labels_of(project: Project, policy: Policy, known_by: datetime) -> pl.DataFrame:
    """The labels that were known by an instant, as monitoring takes them: `entity`, `label`, `known_at`."""
    names = policy.labels
    known = pl.col(names.known_at) <= known_by
    columns = [names.entity, names.label, names.known_at]
    rows = data.scan(project, names.table, columns=columns, where=known)
    return rows.rename({names.entity: "entity", names.label: "label", names.known_at: "known_at"})
