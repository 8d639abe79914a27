"""DatasetSummary: which datasets the runs of an experiment read."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.tracking.experiment import number_of
from bucle.line.tracking.tables import RUN_DATASETS, RUNS

__all__ = ["DatasetSummary", "datasets_of_experiments"]


class DatasetSummary(Record, frozen=True):
    """A dataset that at least one run of an experiment read.

    Attributes:
        experiment_id: whose runs.
        name, digest: which dataset.
        context: what it was read for, e.g. `training`; may be empty.
    """

    experiment_id: str
    name: str
    digest: str
    context: str


def datasets_of_experiments(
    project: Project, experiment_ids: Sequence[str], *, limit: int = 1000
) -> list[DatasetSummary]:
    """The datasets that runs of these experiments read, each once, by experiment, name and digest.

    Args:
        limit: at most so many.
    """
    query = (
        sa.select(RUNS.c.experiment, RUN_DATASETS.c.name, RUN_DATASETS.c.digest, RUN_DATASETS.c.context)
        .join(RUNS, RUNS.c.seq == RUN_DATASETS.c.run)
        .where(RUNS.c.experiment.in_([number_of(id_) for id_ in experiment_ids]), RUNS.c.lifecycle == "active")
        .distinct()
        .order_by(RUNS.c.experiment, RUN_DATASETS.c.name, RUN_DATASETS.c.digest, RUN_DATASETS.c.context)
        .limit(limit)
    )
    with project.database.reading() as connection:
        return [
            DatasetSummary(experiment_id=str(row.experiment), name=row.name, digest=row.digest, context=row.context)
            for row in connection.execute(query)
        ]
