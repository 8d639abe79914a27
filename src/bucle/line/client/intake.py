"""Intake: what a run has to say, taken into a project: by the process that runs it, or by a server for another.

Each message may be taken again and counts once; a run's messages are taken in their order.
"""

from __future__ import annotations

from pathlib import Path

from bucle.ground.core import encode, make_ref
from bucle.ground.project import Project
from bucle.line.client.data_input import known_inputs
from bucle.line.client.message import End, Entry, Start
from bucle.line.tracking import (
    Circumstances,
    Run,
    create_run,
    end_run,
    ensure_experiment,
    log_inputs,
    log_work,
    put_artifact,
)

__all__ = ["take_end", "take_entry", "take_file", "take_start"]


def take_start(project: Project, start: Start) -> Run:
    """Begin a run, or know that it was begun.

    Raises:
        RunExists: another run has its id.
        ExperimentDeleted: what it belongs to was put aside.
        BadText: a key or a value cannot be kept.
    """
    refs, datasets = known_inputs(project, start.inputs)
    blobs, about = project.blobs, start.environment
    made = create_run(
        project,
        ensure_experiment(project, start.experiment).id,
        id=start.run,
        name=start.name,
        actor=start.actor,
        started_at=start.started_at,
        tags=start.tags,
        params=start.params,
        circumstances=Circumstances(
            inputs=refs,
            within=project.reader,
            seed=start.seed,
            code_commit=start.code_commit,
            code_diff=blobs.put(start.code_diff) if start.code_diff else "",
            environment=blobs.put(encode(about)) if about else "",
            lock=blobs.put(about.lock().encode()) if about else "",
        ),
    )
    if datasets:
        log_inputs(project, start.run, datasets)
    return made


def take_entry(project: Project, run_id: str, entry: Entry) -> None:
    """Log to a run, all of it or nothing.

    Raises:
        NoSuchRun, RunDeleted: it cannot be logged to.
        BadEntry, BadText: something cannot be kept.
    """
    columns = {stretch.key: stretch.points for stretch in entry.stretches}
    # What this process said is the last word on its own params.
    work = log_work(project, run_id, columns=columns, params=entry.params, tags=entry.tags, replace_params=True)
    project.database.grouped(work)


def take_file(project: Project, run_id: str, path: str, content: bytes | Path) -> str:
    """Keep a file of a run; give its digest.

    Raises:
        BadArtifactPath: the path leads elsewhere.
        NoSuchRun, RunDeleted: there is no run to keep it.
        DiskFull: nothing was kept.
    """
    return put_artifact(project, make_ref("run", run_id), path, content)


def take_end(project: Project, run_id: str, end: End) -> None:
    """Close a run and seal it; a no-op when it ended so before.

    Raises:
        NoSuchRun, RunDeleted: it cannot be ended.
    """
    end_run(project, run_id, status=end.status, ended_at=end.ended_at, error=end.error)
