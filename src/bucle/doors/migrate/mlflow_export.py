"""A project as MLflow keeps one: its database in SQLite and a folder of artifacts, for whoever moves out.

MLflow itself makes the empty database, by its command `mlflow db upgrade`: its schema changes with each release, and so
the release that will open the database is the one that made it. What is written is read back and compared.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bucle.doors.migrate.errors import NotEmpty, UnknownSchema
from bucle.doors.migrate.mlflow_database import WORKSPACE, MlflowDatabase
from bucle.doors.migrate.mlflow_rows import (
    Row,
    as_mlflow_keeps_it,
    dataset_row,
    input_row,
    rows_of_model,
    rows_of_registered,
    rows_of_runs,
)
from bucle.doors.migrate.mlflow_words import CONTEXT, millis_of
from bucle.doors.migrate.report import Report
from bucle.ground.core import digest_of_value, make_ref, short
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line import registry, tracking
from bucle.line.tracking import Experiment, WholeRun

__all__ = ["DATABASE", "export_to_mlflow"]

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
"""What the folder holds."""

RUNS_AT_ONCE = 200
Tell = Callable[[str], None]


def export_to_mlflow(project: Project, folder: Path, *, tell: Tell = lambda text: None) -> Report:
    """Write everything MLflow has a place for into a folder that MLflow opens.

    Killed and started again it goes on: runs and models that are there are not written again.

    Returns:
        What was written, counted, and compared with what stands here; the ledger has the same as `migrate.exported`.
    Raises:
        NotEmpty: the folder's database is another one.
        UnknownSchema: there is no MLflow to make the database, or one that does not make it.
    """
    folder = folder.resolve()
    file = folder / DATABASE
    if not file.exists():
        tell("asking MLflow for an empty database")
        _make(file)
    export = _Export(project, folder, tell)
    try:
        return export.write()
    finally:
        export.close()


class _Export:
    """One export under way."""

    def __init__(self, project: Project, folder: Path, tell: Tell) -> None:
        self._project = project
        self._artifacts = folder / ARTIFACTS
        self._tell = tell
        self._began, self._clock = project.clock.now(), time.monotonic()
        self._url = f"sqlite:///{folder / DATABASE}"
        MlflowDatabase(self._url).close()  # it is MLflow's, or we stop here
        self._engine = sa.create_engine(self._url)
        self._meta = sa.MetaData()
        self._meta.reflect(self._engine)
        self._counts: dict[str, Any] = {}
        self._faults = list[Fault]()

    def close(self) -> None:
        """Give the database back."""
        self._engine.dispose()

    def write(self) -> Report:
        """All of it, in an order in which nothing refers to what is not there yet."""
        experiments = self._write_experiments()
        self._write_logged_models(experiments)
        self._write_runs(experiments)
        self._write_models()
        self._engine.dispose()
        there, here = self._compare(experiments)
        report = Report(
            source=self._project.name,
            kind="mlflow",
            began_at=self._began,
            took_s=round(time.monotonic() - self._clock, 3),
            digest=here,
            found=there,
            faults=tuple(self._faults),
            **self._counts,
        )
        with self._project.ledger.transaction(
            "migrate.exported", subject=make_ref("migration", short(report.digest)), actor=self._project.actor
        ) as tx:
            tx.data |= {"counts": report.counts(), "digest": report.digest, "faults": len(report.faults)}
        return report

    def _write_experiments(self) -> list[Experiment]:
        found = list(_pages(lambda token: tracking.search_experiments(self._project, lifecycle="all", token=token)))
        known = self._known("experiments", "experiment_id")
        with self._engine.begin() as connection:
            for one in found:
                if int(one.id) in known:
                    continue
                self._insert(connection, "experiments", [self._experiment_row(one)])
                tags = [{"experiment_id": int(one.id), "key": key, "value": value} for key, value in one.tags.items()]
                self._insert(connection, "experiment_tags", tags)
        self._counts["experiments"] = len(found)
        return found

    def _experiment_row(self, one: Experiment) -> Row:
        return {
            "experiment_id": int(one.id),
            "name": one.name,
            "artifact_location": (self._artifacts / one.id).as_uri(),
            "lifecycle_stage": one.lifecycle,
            "creation_time": millis_of(one.created_at),
            "last_update_time": millis_of(one.updated_at),
            "workspace": WORKSPACE,
        }

    def _write_runs(self, experiments: Sequence[Experiment]) -> None:
        known = self._known("runs", "run_uuid")
        datasets: dict[tuple[int, str, str], str] = {
            (row.experiment_id, row.name, row.digest): row.dataset_uuid for row in self._rows("datasets")
        }
        for ids in _run_ids(self._project, experiments):
            runs = tracking.whole_runs(self._project, ids)
            fresh = [run for run in runs if run.id not in known]
            for run in fresh:
                self._copy_files(make_ref("run", run.id), self._run_folder(run.experiment_id, run.id))
            with self._engine.begin() as connection:
                self._insert(connection, "runs", [self._run_row(run) for run in fresh])
                for name, rows in rows_of_runs(fresh).items():
                    self._insert(connection, name, rows)
                for run in fresh:
                    self._insert_inputs(connection, run, datasets)
            self._count(runs=len(runs), params=sum(len(run.params) for run in runs))
            self._count(tags=sum(len(run.tags) for run in runs), points=sum(run.points for run in runs))
            self._tell(f"{self._counts['runs']:,} runs, {self._counts['points']:,} points")

    def _run_row(self, run: WholeRun) -> Row:
        return {
            "run_uuid": run.id,
            "name": run.name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "source_version": "",
            "user_id": run.actor,
            "status": run.status.upper(),
            "start_time": millis_of(run.started_at),
            "end_time": millis_of(run.ended_at),
            "deleted_time": millis_of(run.deleted_at),
            "lifecycle_stage": run.lifecycle,
            "artifact_uri": self._run_folder(run.experiment_id, run.id).as_uri(),
            "experiment_id": int(run.experiment_id),
        }

    def _insert_inputs(
        self, connection: sa.Connection, run: WholeRun, datasets: dict[tuple[int, str, str], str]
    ) -> None:
        for one in run.datasets:
            place = (int(run.experiment_id), one.name, one.digest)
            if place not in datasets:
                datasets[place] = uuid.uuid4().hex
                self._insert(connection, "datasets", [dataset_row(one, place[0], datasets[place])])
            entry = uuid.uuid4().hex
            row = ("DATASET", datasets[place], "RUN", run.id)
            self._insert(connection, "inputs", [input_row(entry, row, 0)])
            tags = {**one.tags, **({CONTEXT: one.context} if one.context else {})}
            rows = [{"input_uuid": entry, "name": key, "value": value} for key, value in tags.items()]
            self._insert(connection, "input_tags", rows)
        for use in run.models:
            kinds = ("RUN_INPUT", "MODEL_INPUT") if use.direction == "input" else ("RUN_OUTPUT", "MODEL_OUTPUT")
            row = (kinds[0], run.id, kinds[1], use.model)
            self._insert(connection, "inputs", [input_row(uuid.uuid4().hex, row, use.step)])

    def _write_logged_models(self, experiments: Sequence[Experiment]) -> None:
        ids = [one.id for one in experiments]
        known = self._known("logged_models", "model_id")
        search = tracking.search_logged_models
        self._count(logged_models=0)
        for one in _pages(lambda token: search(self._project, ids, limit=50, token=token)):
            self._count(logged_models=1)
            if one.id in known or "logged_models" not in self._meta.tables:
                continue
            folder = self._artifacts / one.experiment_id / "models" / one.id / "artifacts"
            self._copy_files(one.ref, folder)
            with self._engine.begin() as connection:
                for name, rows in rows_of_model(one, folder).items():
                    self._insert(connection, name, rows)

    def _write_models(self) -> None:
        known = self._known("registered_models", "name")
        self._count(models=0, versions=0, aliases=0)
        for model in registry.models(self._project, kind=None):
            versions = registry.versions(self._project, model.name)
            self._count(models=1, versions=len(versions), aliases=len(model.aliases))
            if model.name in known:
                continue
            places = {one.version: self._version_place(one) for one in versions}
            with self._engine.begin() as connection:
                for name, rows in rows_of_registered(model, versions, places).items():
                    self._insert(connection, name, rows)

    def _version_place(self, version: registry.ModelVersion) -> tuple[str, str]:
        """Source and storage location. The files of a version are its own: those of its run may have changed since."""
        if version.kind not in ("files", "package"):
            return version.source, version.source
        folder = self._artifacts / "versions" / version.model / str(version.version)
        files = {path: file.digest for path, file in registry.tree(self._project, version.digest).items()}
        self._copy(files, folder)
        source = f"models:/{version.model_id}" if version.model_id else folder.as_uri()
        return source, folder.as_uri()

    def _copy_files(self, owner: str, folder: Path) -> None:
        self._copy({file.path: file.digest for file in tracking.every_artifact(self._project, owner)}, folder)

    def _copy(self, files: Mapping[str, str], folder: Path) -> None:
        for path, digest in files.items():
            target = folder / path
            if not target.resolve().is_relative_to(folder.resolve()):
                self._faults.append(Fault(where=path[:200], what="leads out of the export"))
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            source = self._project.blobs.path(digest)
            shutil.copyfile(source, target)
            self._count(files=1, file_bytes=target.stat().st_size)

    def _run_folder(self, experiment: str, run: str) -> Path:
        return self._artifacts / experiment / run / "artifacts"

    def _compare(self, experiments: Sequence[Experiment]) -> tuple[str, str]:
        """Read it back as an importer would."""
        here = {
            run.id: as_mlflow_keeps_it(run).digest()
            for ids in _run_ids(self._project, experiments)
            for run in tracking.whole_runs(self._project, ids)
        }
        source = MlflowDatabase(self._url)
        try:
            there = {found.run.id: found.run.digest() for found in source.runs()}
        finally:
            source.close()
        for id_, digest in here.items():
            if there.get(id_) != digest:
                self._faults.append(Fault(where=f"run {id_}", what="is not the same there as here"))
        return digest_of_value({id_: there.get(id_, "") for id_ in here}), digest_of_value(here)

    def _insert(self, connection: sa.Connection, name: str, rows: Sequence[Row]) -> None:
        """Rows into the columns that this MLflow has."""
        table = self._meta.tables.get(name)
        if table is None or not rows:
            return
        columns = [column.name for column in table.c if column.name in rows[0]]
        connection.execute(sa.insert(table), [{column: row[column] for column in columns} for row in rows])

    def _rows(self, name: str) -> list[Any]:
        table = self._meta.tables.get(name)
        if table is None:
            return []
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(table)))

    def _known(self, name: str, column: str) -> set[Any]:
        table = self._meta.tables.get(name)
        if table is None:
            return set()
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(table.c[column])).scalars())

    def _count(self, **found: int) -> None:
        for name, number in found.items():
            self._counts[name] = self._counts.get(name, 0) + number


def _make(file: Path) -> None:
    """An empty database of the MLflow that is installed."""
    command = f"mlflow db upgrade sqlite:///{file}"
    if find_spec("mlflow") is None:
        raise UnknownSchema(
            "MLflow is not installed here, and its database is made by MLflow.",
            why="The schema changes with each release; the one that will open it must make it.",
            fix=f"Run where your MLflow is: {command}; then repeat this. Or here: pip install mlflow",
        )
    if file.parent.exists() and any(file.parent.iterdir()):
        raise NotEmpty(
            f"{file.parent} is not empty.",
            why="An export is a folder of its own, so that nothing of yours is written over.",
            fix="Name a new folder.",
            at=str(file.parent),
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{DATABASE}.partial")
    program = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{draft}"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603  our own interpreter
    if done.returncode or not draft.exists():
        draft.unlink(missing_ok=True)
        raise UnknownSchema(
            f"MLflow made no database: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no word'}.",
            why="The export is written into a database that MLflow made.",
            fix=f"Try it by hand: {command}",
        )
    draft.replace(file)


def _pages(ask: Callable[[str], Any]) -> Iterator[Any]:
    token = ""
    while True:
        page = ask(token)
        yield from page.items
        if not (token := page.token):
            return


def _run_ids(project: Project, experiments: Sequence[Experiment]) -> Iterator[list[str]]:
    ids, token = [one.id for one in experiments], ""
    while True:
        page = tracking.search_runs(
            project, ids, lifecycle="all", limit=RUNS_AT_ONCE, token=token, columns=(), order_by=["attributes.run_id"]
        )
        yield [run.id for run in page.items]
        if not (token := page.token):
            return
