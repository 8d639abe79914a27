"""MLflow's file store, a folder `mlruns`, in our nouns: an experiment is a folder, so is a run; a curve is a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bucle.doors.migrate.artifacts import Artifacts
from bucle.doors.migrate.errors import BadSource
from bucle.doors.migrate.found import FoundFile, FoundLoggedModel, FoundModel, FoundRun, FoundTrace, no_files
from bucle.doors.migrate.mlflow_registry import found_model
from bucle.doors.migrate.mlflow_traces import found_trace
from bucle.doors.migrate.mlflow_words import (
    NAME,
    in_context,
    instant_of,
    known_instant,
    millis_of,
    model_status_of,
    status_of,
)
from bucle.line.tracking import Dataset, Experiment, LoggedModel, ModelPoint, ModelUse, WholeRun, gather_curves

__all__ = ["MlflowFolder"]

META, TRASH, MODELS, TRACE = "meta.yaml", ".trash", "models", "trace_info.yaml"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DATASET = ("name", "digest", "source_type", "source", "schema", "profile")


class MlflowFolder:
    """A source: a folder that MLflow's file store wrote.

    Args:
        folder: `mlruns`, or the folder it lies in.
        artifacts: where its files lie, when not where it says.
    Raises:
        BadSource: it is no such folder.
    """

    kind = "mlflow"

    def __init__(self, folder: Path, artifacts: Path | None = None) -> None:
        self._root = _root(folder)
        self.address = str(self._root)
        self._artifacts = Artifacts(artifacts or self._root, self._root.parent)
        self._left: dict[str, int] = {}
        self._experiments = self._find()

    def close(self) -> None:
        """Nothing is held."""

    def experiments(self) -> list[Experiment]:
        """See `Source.experiments`."""
        return [
            Experiment(
                id=str(about["experiment_id"]),
                name=str(about["name"]),
                lifecycle="deleted" if about.get("lifecycle_stage") == "deleted" else "active",
                artifact_location=str(about.get("artifact_location") or ""),
                created_at=known_instant(about.get("creation_time"), about.get("last_update_time")),
                updated_at=known_instant(about.get("last_update_time"), about.get("creation_time")),
                tags=_texts(folder / "tags"),
            )
            for folder, about in self._experiments
        ]

    def runs(self) -> Iterator[FoundRun]:
        """See `Source.runs`. Cost: every file of every run is opened."""
        for folder, about in self._experiments:
            datasets = self._datasets(folder)
            for run in sorted(one for one in folder.iterdir() if (one / META).is_file()):
                if (meta := self._meta(run / META, "runs")) is not None and "run_id" in meta:
                    yield self._run(run, meta, str(about["experiment_id"]), datasets)

    def logged_models(self) -> Iterator[FoundLoggedModel]:
        """See `Source.logged_models`."""
        for folder, about in self._experiments:
            for model in sorted((folder / MODELS).glob(f"m-*/{META}")):
                if (meta := self._meta(model, "logged models")) is not None:
                    yield self._logged_model(model.parent, meta, str(about["experiment_id"]))

    def models(self) -> Iterator[FoundModel]:
        """See `Source.models`."""
        for model in sorted((self._root / MODELS).glob(f"*/{META}")):
            meta = self._meta(model, "registered models")
            if meta is None:
                continue
            folder = model.parent
            named = {one.name: one.read_text().strip() for one in _files(folder / "aliases")}
            versions = [
                {**_VERSION, **found, "tags": _texts(one.parent / "tags")}
                for one in sorted(folder.glob(f"version-*/{META}"))
                if (found := _at(self._meta(one, "model versions"))) and found["current_stage"] != "Deleted_Internal"
            ]
            about = {**_REGISTERED, **_at(meta), "tags": _texts(folder / "tags"), "aliases": named}
            yield found_model(about, sorted(versions, key=lambda one: int(one["version"])))

    def faults(self) -> tuple[()]:
        """See `Source.faults`: none is known."""
        return ()

    def traces(self) -> Iterator[FoundTrace]:
        """See `Source.traces`."""
        for folder, experiment in self._experiments:
            for file in sorted((folder / "traces").glob(f"*/{TRACE}")):
                about = self._meta(file, "traces")
                if about is not None:
                    yield self._trace(file.parent, about, str(experiment["experiment_id"]))

    def _trace(self, folder: Path, about: dict[str, Any], experiment: str) -> FoundTrace:
        began = about.get("request_time")
        read = {
            "request_id": str(about.get("trace_id") or about.get("request_id") or folder.name),
            "experiment_id": experiment,
            "timestamp_ms": millis_of(datetime.fromisoformat(str(began))) if began else about.get("timestamp_ms"),
            "execution_time_ms": about.get("execution_duration_ms", about.get("execution_time_ms")),
            "status": about.get("state", about.get("status")),
            **{name: about.get(name) for name in ("client_request_id", "request_preview", "response_preview")},
        }
        spans: list[Mapping[str, Any]] = []
        kept = folder / "artifacts" / "traces.json"
        if kept.is_file():
            try:
                spans = msgspec.json.decode(kept.read_bytes(), type=dict[str, list[dict[str, Any]]])["spans"]  # type: ignore[assignment]
            except (msgspec.MsgspecError, KeyError):
                self._count("traces whose spans cannot be read")
        return found_trace(read, _texts(folder / "tags"), _texts(folder / "request_metadata"), spans)

    def left(self) -> dict[str, int]:
        """See `Source.left`."""
        found = dict(self._left)
        found["artifact folders without their owner's id in the path"] = self._artifacts.strange
        found["symbolic links among artifacts"] = self._artifacts.links
        return {told: count for told, count in found.items() if count}

    def _find(self) -> list[tuple[Path, dict[str, Any]]]:
        found = []
        for meta in sorted([*self._root.glob(f"*/{META}"), *(self._root / TRASH).glob(f"*/{META}")]):
            about = self._meta(meta, "experiments")
            if about is not None and "experiment_id" in about:
                found.append((meta.parent, about))
        return found

    def _run(self, folder: Path, about: dict[str, Any], experiment: str, datasets: dict[str, Dataset]) -> FoundRun:
        tags = _texts(folder / "tags")
        is_deleted = about.get("lifecycle_stage") == "deleted"
        read, models = self._used(folder, datasets)
        return FoundRun(
            WholeRun(
                id=str(about["run_id"]),
                experiment_id=experiment,
                name=str(about.get("run_name") or tags.get(NAME, "")),
                status=status_of(about.get("status")),
                lifecycle="deleted" if is_deleted else "active",
                actor=str(about.get("user_id") or ""),
                started_at=known_instant(about.get("start_time"), about.get("end_time")),
                ended_at=instant_of(about.get("end_time")),
                deleted_at=instant_of(about.get("deleted_time")) if is_deleted else None,
                params=_texts(folder / "params"),
                tags=tags,
                curves=gather_curves(*self._points(folder / "metrics")),
                datasets=read,
                models=models,
            ),
            self._files_of(str(about.get("artifact_uri") or ""), folder),
        )

    def _logged_model(self, folder: Path, about: dict[str, Any], experiment: str) -> FoundLoggedModel:
        tags = _texts(folder / "tags")
        model = LoggedModel(
            id=str(about["model_id"]),
            experiment_id=experiment,
            name=str(about.get("name") or ""),
            kind=str(about.get("model_type") or ""),
            status=model_status_of(about.get("status")),
            status_message=str(about.get("status_message") or ""),
            lifecycle="active",
            run_id=str(about.get("source_run_id") or ""),
            actor=tags.get("mlflow.user", ""),
            created_at=known_instant(about.get("creation_timestamp")),
            updated_at=known_instant(about.get("last_updated_timestamp"), about.get("creation_timestamp")),
            params=_texts(folder / "params"),
            tags=tags,
            metrics=tuple(self._model_points(folder / "metrics")),
        )
        return FoundLoggedModel(model, self._files_of(str(about.get("artifact_location") or ""), folder))

    def _files_of(self, address: str, owner: Path) -> Callable[[], Iterator[FoundFile]]:
        """Beside the run first: a folder that was moved still says where it was."""
        here = owner / "artifacts"
        if here.is_dir() and any(here.iterdir()):
            return self._artifacts.files_of(str(here), owner.name)
        return self._artifacts.files_of(address, owner.name) if self._artifacts.folder_of(address) else no_files

    def _points(self, folder: Path) -> tuple[list[str], list[int], list[int], list[float]]:
        keys, steps, at, values = list[str](), list[int](), list[int](), list[float]()
        for file in _files(folder):
            key = file.relative_to(folder).as_posix()
            for line in file.read_text().splitlines():
                parts = line.split(" ")
                try:
                    instant, value = int(parts[0]), float(parts[1])
                    step = int(parts[2]) if len(parts) > 2 else 0
                except (ValueError, IndexError):
                    self._count("metric lines that cannot be read")
                    continue
                keys.append(key)
                steps.append(step)
                at.append(instant)
                values.append(value)
        return keys, steps, at, values

    def _model_points(self, folder: Path) -> Iterator[ModelPoint]:
        for file in _files(folder):
            for line in file.read_text().splitlines():
                parts = line.split(" ")
                try:
                    at, value, step, run = int(parts[0]), float(parts[1]), int(parts[2]), parts[3]
                except (ValueError, IndexError):
                    self._count("metric lines that cannot be read")
                    continue
                name, digest = (parts[4], parts[5]) if len(parts) > 5 else ("", "")
                yield ModelPoint(
                    key=file.relative_to(folder).as_posix(),
                    value=value,
                    at=at,
                    step=step,
                    run_id=run,
                    dataset_name=name,
                    dataset_digest=digest,
                )

    def _datasets(self, experiment: Path) -> dict[str, Dataset]:
        found = {}
        for meta in sorted((experiment / "datasets").glob(f"*/{META}")):
            about = self._meta(meta, "datasets")
            if about is not None:
                found[meta.parent.name] = Dataset(**{name: str(about.get(name) or "") for name in _DATASET})  # type: ignore[arg-type]
        return found

    def _used(self, run: Path, datasets: Mapping[str, Dataset]) -> tuple[tuple[Dataset, ...], tuple[ModelUse, ...]]:
        read, models = list[Dataset](), list[ModelUse]()
        for meta in sorted((run / "inputs").glob(f"*/{META}")):
            about = self._meta(meta, "inputs") or {}
            if about.get("source_type") == "DATASET" and about.get("source_id") in datasets:
                read.append(in_context(datasets[about["source_id"]], about.get("tags") or {}))
            elif about.get("source_type") == "MODEL":
                models.append(ModelUse(model=str(about["source_id"]), direction="input"))
        for meta in sorted((run / "outputs").glob(f"*/{META}")):
            about = self._meta(meta, "outputs") or {}
            if "destination_id" in about:
                models.append(ModelUse(model=str(about["destination_id"]), step=int(about.get("step") or 0)))
        return tuple(read), tuple(models)

    def _meta(self, file: Path, what: str) -> dict[str, Any] | None:
        """What a `meta.yaml` says; None, and counted, when it is damaged."""
        try:
            found = yaml.load(file.read_bytes(), Loader=_LOADER)  # noqa: S506  the C twin of the safe loader
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            found = None
        if not isinstance(found, dict):
            self._count(f"{what} whose {META} is damaged")
            return None
        return found

    def _count(self, told: str) -> None:
        self._left[told] = self._left.get(told, 0) + 1


_REGISTERED = dict.fromkeys(("creation_time", "last_updated_time", "description"))
_VERSION = dict.fromkeys(
    ("creation_time", "last_updated_time", "description", "user_id", "current_stage", "source", "storage_location",
     "run_id", "run_link", "status", "status_message"),
)  # fmt: skip


def _at(meta: dict[str, Any] | None) -> dict[str, Any]:
    """With the names the database has for instants."""
    if meta is None:
        return {}
    return {
        **meta,
        "creation_time": meta.get("creation_timestamp"),
        "last_updated_time": meta.get("last_updated_timestamp"),
        "current_stage": meta.get("current_stage"),
        "status": meta.get("status"),
    }


def _files(folder: Path) -> list[Path]:
    """The files below a folder: a key with `/` in it is a path."""
    return sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()) if folder.is_dir() else []


def _texts(folder: Path) -> dict[str, str]:
    return {one.relative_to(folder).as_posix(): one.read_text() for one in _files(folder)}


def _root(folder: Path) -> Path:
    for root in (folder, folder / "mlruns"):
        if any(root.glob(f"*/{META}")) or any((root / TRASH).glob(f"*/{META}")):
            return root.resolve()
    if not folder.exists():
        raise BadSource(
            f"There is no folder {folder}.",
            why="A path without sqlite:/// or postgresql:// is a folder mlruns.",
            fix="Write sqlite:///mlflow.db for a database, or the path of mlruns.",
            at=str(folder),
        )
    database = next(iter(sorted(folder.glob("*.db"))), None) if folder.is_dir() else folder
    raise BadSource(
        f"{folder} is no folder that MLflow wrote.",
        why=f"It holds no */{META} of an experiment.",
        fix=f"Did you mean sqlite:///{database}?" if database else "Name the folder mlruns.",
        at=str(folder),
    )
