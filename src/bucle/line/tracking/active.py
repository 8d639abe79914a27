"""Whether an experiment takes anything new."""

from __future__ import annotations

from bucle.ground.project import Project
from bucle.line.tracking import trace_store
from bucle.line.tracking.errors import ExperimentDeleted
from bucle.line.tracking.experiment import experiment, number_of

__all__ = ["active_experiment"]


def active_experiment(project: Project, id: str) -> int:  # noqa: A002
    """The number of an experiment that is there and not deleted.

    Raises:
        NoSuchExperiment: there is none of this id.
        ExperimentDeleted: it is deleted.
    """
    number = number_of(id)
    with project.database.reading() as connection:
        lifecycle = trace_store.experiment_lifecycle(connection, number)
    lifecycle = lifecycle or experiment(project, id=id).lifecycle  # makes the one called Default, or says what is wrong
    if lifecycle != "active":
        raise ExperimentDeleted(
            f"The experiment {id} must be in the 'active' state; it is deleted.",
            why="What is logged to it would be seen by nobody.",
            fix=f'Bring it back: client.restore_experiment("{id}")',
            at=id,
        )
    return number
