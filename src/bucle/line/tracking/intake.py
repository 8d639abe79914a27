"""Intake: what a run has to say, taken into a project: by the process that runs it, or by a server for another.

Each message may be taken again and counts once; a run's messages are taken in their order.
"""

from __future__ import annotations

from pathlib import Path

from bucle.ground.core import encode, make_ref
from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.artifact import put_artifact
from bucle.line.tracking.data_input import known_inputs
from bucle.line.tracking.experiment import ensure_experiment
from bucle.line.tracking.log import create_run, log_inputs
from bucle.line.tracking.message import End, Entry, Start
from bucle.line.tracking.run import ENDED, Circumstances, Run, run_by_id
from bucle.line.tracking.seal import enter_seals
from bucle.line.tracking.writes import log_work, open_run, update_work

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
    found = run_by_id(project, run_id, columns=())
    if found.status in ENDED and found.sealed and found.ended_at == end.ended_at:
        return
    about = Circumstances(
        inputs=found.inputs,
        code_commit=found.code_commit,
        code_diff=found.code_diff,
        environment=found.environment,
        lock=found.lock,
        seed=found.seed,
        attempt=found.attempt,
        error=end.error,
    )
    closing = update_work(project, run_id, status=end.status, ended_at=end.ended_at, circumstances=about)
    kind, subject = f"tracking.run_{end.status}", make_ref("run", run_id)
    with project.ledger.transaction(kind, subject=subject, actor=found.actor) as tx:
        closing(tx.connection)
        run = open_run(tx.connection, run_id)
        enter_seals(tx, [run.seq])
        tx.data.update({"experiment": found.experiment, "status": end.status, "attempt": found.attempt})
        tx.data["metrics"] = store.last_values(tx.connection, run.seq)
        if end.error:
            tx.data["error"] = end.error
