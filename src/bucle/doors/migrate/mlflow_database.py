"""MLflow's database in our nouns.

A run and what belongs to it stand in tables of their own. Each is read once, in the order of the runs, and they are put
together on the way, so that any number of runs needs the memory of a few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from bucle.doors.migrate.artifacts import Artifacts
from bucle.doors.migrate.found import FoundLoggedModel, FoundModel, FoundRun, FoundTrace
from bucle.doors.migrate.mlflow_registry import found_model
from bucle.doors.migrate.mlflow_tables import Beside, Rows, Tables, begin_reading, open_database, unreadable
from bucle.doors.migrate.mlflow_traces import found_trace
from bucle.doors.migrate.mlflow_words import NAME, in_context, instant_of, known_instant, model_status_of, status_of
from bucle.line.tracking import Dataset, Experiment, LoggedModel, ModelPoint, ModelUse, Points, WholeRun, gather_curves

__all__ = ["MlflowDatabase"]

WORKSPACE = "default"
"""Where MLflow keeps everything unless told otherwise."""

_NOT_TAKEN = {
    "assessments": "assessments of traces",
    "evaluation_datasets": "evaluation datasets",
    "scorers": "scorers",
    "webhooks": "webhooks",
    "endpoints": "gateway endpoints",
    "issues": "issues",
    "label_schemas": "label schemas",
    "review_queues": "review queues",
    "mcp_servers": "MCP servers",
}


class MlflowDatabase:
    """A source: an MLflow database, in one consistent view from the first row to the last.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        artifacts: where its files lie.
    Raises:
        BadSource: there is no such database.
        UnknownSchema: it is not MLflow's.
    """

    kind = "mlflow"

    def __init__(self, url: str, artifacts: Path | None = None) -> None:
        engine, self.address, base = open_database(url)
        self._artifacts = Artifacts(artifacts, base)
        self._left: dict[str, int] = {}
        self._experiments: list[Experiment] | None = None
        try:
            self._connection = engine.connect()
            begin_reading(self._connection)
            self._tables = Tables(self._connection)
        except sa.exc.DBAPIError as error:
            engine.dispose()
            raise unreadable(self.address, error) from error
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
        self._engine.dispose()

    def experiments(self) -> list[Experiment]:
        """See `Source.experiments`."""
        if self._experiments is None:
            self._experiments = self._read_experiments()
        return self._experiments

    def _read_experiments(self) -> list[Experiment]:
        tags = _by_key(self._rows("experiment_tags", ("experiment_id", "key", "value")))
        columns = ("experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time")
        return [
            Experiment(
                id=str(id_),
                name=name,
                lifecycle="deleted" if stage == "deleted" else "active",
                artifact_location=location or "",
                created_at=known_instant(created, updated),
                updated_at=known_instant(updated, created),
                tags=tags.get(id_, {}),
            )
            for id_, name, location, stage, created, updated in self._of_workspace("experiments", columns)
        ]

    def runs(self) -> Iterator[FoundRun]:
        """See `Source.runs`. Cost: one pass over each table of runs, sorted by run."""
        texts = ("run_uuid", "key", "value")
        params, tags = Beside(self._sorted("params", texts)), Beside(self._sorted("tags", texts))
        metrics = Beside(self._sorted("metrics", ("run_uuid", "key", "step", "timestamp", "value", "is_nan")))
        uses = Beside(self._sorted("inputs", ("run", "type", "other", "input_uuid", "step"), self._uses))
        datasets, input_tags = self._datasets(), self._input_tags()
        kept = {int(one.id) for one in self.experiments()}
        for row in self._sorted("runs", _RUN):
            about = dict(zip(_RUN, row, strict=True))
            id_ = about["run_uuid"]
            if about["experiment_id"] not in kept:
                self._left["runs of other workspaces"] = self._left.get("runs of other workspaces", 0) + 1
                continue
            read, made = _used(uses.of(id_), datasets, input_tags)
            yield FoundRun(
                _run(
                    about,
                    {key: value or "" for _, key, value in params.of(id_)},
                    {key: value or "" for _, key, value in tags.of(id_)},
                    _curves(metrics.of(id_)),
                    (read, made),
                ),
                self._artifacts.files_of(about["artifact_uri"] or "", id_),
            )

    def logged_models(self) -> Iterator[FoundLoggedModel]:
        """See `Source.logged_models`."""
        if "logged_models" not in self._tables:
            return
        params = _by_key(self._rows("logged_model_params", ("model_id", "param_key", "param_value")))
        tags = _by_key(self._rows("logged_model_tags", ("model_id", "tag_key", "tag_value")))
        points = _model_points(self._rows("logged_model_metrics", _MODEL_POINT))
        for row in self._rows("logged_models", _MODEL, order="model_id"):
            about = dict(zip(_MODEL, row, strict=True))
            if about["lifecycle_stage"] == "deleted":
                self._left["deleted logged models"] = self._left.get("deleted logged models", 0) + 1
                continue
            id_ = about["model_id"]
            yield FoundLoggedModel(
                LoggedModel(
                    id=id_,
                    experiment_id=str(about["experiment_id"]),
                    name=about["name"],
                    kind=about["model_type"] or "",
                    status=model_status_of(about["status"]),
                    status_message=about["status_message"] or "",
                    lifecycle="active",
                    run_id=about["source_run_id"] or "",
                    actor=tags.get(id_, {}).get("mlflow.user", ""),
                    created_at=known_instant(about["creation_timestamp_ms"]),
                    updated_at=known_instant(about["last_updated_timestamp_ms"], about["creation_timestamp_ms"]),
                    params=params.get(id_, {}),
                    tags=tags.get(id_, {}),
                    metrics=tuple(points.get(id_, ())),
                ),
                self._artifacts.files_of(about["artifact_location"] or "", id_),
            )

    def models(self) -> Iterator[FoundModel]:
        """See `Source.models`."""
        if "registered_models" not in self._tables:
            return
        tags = _by_key(self._of_workspace("registered_model_tags", ("name", "key", "value")))
        aliases = _by_key(self._of_workspace("registered_model_aliases", ("name", "alias", "version")))
        version_tags: dict[tuple[str, int], dict[str, str]] = {}
        for name, number, key, value in self._of_workspace("model_version_tags", ("name", "version", "key", "value")):
            version_tags.setdefault((name, number), {})[key] = value or ""
        versions: dict[str, list[dict[str, Any]]] = {}
        for row in self._of_workspace("model_versions", _VERSION, order="version"):
            about = dict(zip(_VERSION, row, strict=True))
            if about["current_stage"] != "Deleted_Internal":
                about["tags"] = version_tags.get((about["name"], about["version"]), {})
                versions.setdefault(about["name"], []).append(about)
        for row in self._of_workspace("registered_models", _REGISTERED, order="name"):
            about = dict(zip(_REGISTERED, row, strict=True))
            name = about["name"]
            about |= {"tags": tags.get(name, {}), "aliases": aliases.get(name, {})}
            yield found_model(about, versions.get(name, []))

    def faults(self) -> tuple[()]:
        """See `Source.faults`: none is known."""
        return ()

    def traces(self) -> Iterator[FoundTrace]:
        """See `Source.traces`. Cost: one pass over each table of traces, sorted by trace."""
        if "trace_info" not in self._tables:
            return
        texts = ("request_id", "key", "value")
        tags = Beside(self._sorted("trace_tags", texts))
        metadata = Beside(self._sorted("trace_request_metadata", texts))
        spans = Beside(self._sorted("spans", ("trace_id", "content")))
        kept = {one.id for one in self.experiments()}
        for row in self._sorted("trace_info", _TRACE):
            about = dict(zip(_TRACE, row, strict=True))
            id_ = about["request_id"]
            if str(about["experiment_id"]) not in kept:
                continue
            yield found_trace(
                about,
                {key: value or "" for _, key, value in tags.of(id_)},
                {key: value or "" for _, key, value in metadata.of(id_)},
                [content for _, text in spans.of(id_) if (content := self._content(text)) is not None],
            )

    def _content(self, text: Any) -> dict[str, Any] | None:
        try:
            return msgspec.json.decode(text or "", type=dict[str, Any])
        except msgspec.MsgspecError:
            self._left["spans that cannot be read"] = self._left.get("spans that cannot be read", 0) + 1
            return None

    def left(self) -> dict[str, int]:
        """See `Source.left`."""
        found = {told: self._tables.count(name) for name, told in _NOT_TAKEN.items() if name in self._tables}
        found |= self._left
        found["artifact folders that are not on this machine"] = self._artifacts.elsewhere
        found["artifact folders without their owner's id in the path"] = self._artifacts.strange
        found["symbolic links among artifacts"] = self._artifacts.links
        return {told: count for told, count in found.items() if count}

    def _rows(self, table: str, columns: Sequence[str], *, order: str = "") -> Rows:
        if table in self._tables:
            yield from self._tables.stream(self._tables.select(table, columns, order))

    def _of_workspace(self, table: str, columns: Sequence[str], *, order: str = "") -> Rows:
        """The rows of the workspace that is there without workspaces; others are counted as left."""
        if not self._tables.has(table, "workspace"):
            yield from self._rows(table, columns, order=order)
            return
        for *row, workspace in self._rows(table, (*columns, "workspace"), order=order):
            if workspace == WORKSPACE:
                yield tuple(row)
            else:
                told = f"{table} of other workspaces".replace("_", " ")
                self._left[told] = self._left.get(told, 0) + 1

    def _sorted(self, table: str, columns: Sequence[str], select: Callable[[], sa.Select[Any]] | None = None) -> Rows:
        if table in self._tables:
            query = select() if select else self._tables.select(table, columns)
            yield from self._tables.stream(query.order_by(self._tables.by_bytes(query.selected_columns[0])))

    def _uses(self) -> sa.Select[Any]:
        """Datasets read, models read and made: run, type, what, the entry, step. A dataset's row ends at its run."""
        inputs, has_step = self._tables.table("inputs"), self._tables.has("inputs", "step")
        is_dataset = inputs.c.destination_type == "RUN"
        run = sa.case((is_dataset, inputs.c.destination_id), else_=inputs.c.source_id)
        other = sa.case((is_dataset, inputs.c.source_id), else_=inputs.c.destination_id)
        step = inputs.c.step if has_step else sa.literal(0)
        return sa.select(run.label("run"), inputs.c.destination_type, other, inputs.c.input_uuid, step).where(
            inputs.c.destination_type.in_(("RUN", "MODEL_INPUT", "MODEL_OUTPUT"))
        )

    def _datasets(self) -> dict[str, Dataset]:
        return {
            row[0]: Dataset(**dict(zip(_DATASET, (str(value or "") for value in row[1:]), strict=True)))  # type: ignore[arg-type]
            for row in self._rows("datasets", ("dataset_uuid", "name", "digest", *_DATASET_COLUMNS))
        }

    def _input_tags(self) -> dict[str, dict[str, str]]:
        return _by_key(self._rows("input_tags", ("input_uuid", "name", "value")))


_RUN = (
    "run_uuid", "experiment_id", "name", "status", "start_time", "end_time", "deleted_time", "lifecycle_stage",
    "user_id", "artifact_uri",
)  # fmt: skip
_TRACE = (
    "request_id", "experiment_id", "timestamp_ms", "execution_time_ms", "status", "client_request_id",
    "request_preview", "response_preview", "trace_name", "session_id",
)  # fmt: skip
_MODEL = (
    "model_id", "experiment_id", "name", "artifact_location", "creation_timestamp_ms", "last_updated_timestamp_ms",
    "status", "lifecycle_stage", "model_type", "source_run_id", "status_message",
)  # fmt: skip
_MODEL_POINT = (
    "model_id", "metric_name", "metric_value", "metric_timestamp_ms", "metric_step", "run_id", "dataset_name",
    "dataset_digest",
)  # fmt: skip
_REGISTERED = ("name", "creation_time", "last_updated_time", "description")
_VERSION = (
    "name", "version", "creation_time", "last_updated_time", "description", "user_id", "current_stage", "source",
    "storage_location", "run_id", "run_link", "status", "status_message",
)  # fmt: skip
_DATASET_COLUMNS = ("dataset_source_type", "dataset_source", "dataset_schema", "dataset_profile")
_DATASET = ("name", "digest", "source_type", "source", "schema", "profile")


def _run(
    about: Mapping[str, Any],
    params: dict[str, str],
    tags: dict[str, str],
    curves: dict[str, Points],
    used: tuple[tuple[Dataset, ...], tuple[ModelUse, ...]],
) -> WholeRun:
    is_deleted = about["lifecycle_stage"] == "deleted"
    return WholeRun(
        id=about["run_uuid"],
        experiment_id=str(about["experiment_id"]),
        name=about["name"] or tags.get(NAME, ""),
        status=status_of(about["status"]),
        lifecycle="deleted" if is_deleted else "active",
        actor=about["user_id"] or "",
        started_at=known_instant(about["start_time"], about["end_time"]),
        ended_at=instant_of(about["end_time"]),
        deleted_at=instant_of(about["deleted_time"]) if is_deleted else None,
        params=params,
        tags=tags,
        curves=curves,
        datasets=used[0],
        models=used[1],
    )


def _curves(rows: Sequence[tuple[Any, ...]]) -> dict[str, Points]:
    if not rows:
        return {}
    _, keys, steps, at, values, is_nan = zip(*rows, strict=True)
    if any(is_nan) or None in values:
        values = [math.nan if no or value is None else value for value, no in zip(values, is_nan, strict=True)]  # type: ignore[assignment]
    return gather_curves(keys, [one or 0 for one in steps] if None in steps else steps, at, values)


def _used(
    rows: Sequence[tuple[Any, ...]], datasets: Mapping[str, Dataset], tags: Mapping[str, dict[str, str]]
) -> tuple[tuple[Dataset, ...], tuple[ModelUse, ...]]:
    read, models = list[Dataset](), list[ModelUse]()
    for _, kind, other, entry, step in rows:
        if kind != "RUN":
            direction = "input" if kind == "MODEL_INPUT" else "output"
            models.append(ModelUse(model=other, direction=direction, step=step or 0))  # type: ignore[arg-type]
        elif other in datasets:
            read.append(in_context(datasets[other], tags.get(entry, {})))
    return tuple(read), tuple(models)


def _model_points(rows: Rows) -> dict[str, list[ModelPoint]]:
    found: dict[str, list[ModelPoint]] = {}
    for id_, key, value, at, step, run, name, digest in rows:
        point = ModelPoint(
            key=key,
            value=math.nan if value is None else value,
            at=at,
            step=step or 0,
            run_id=run or "",
            dataset_name=name or "",
            dataset_digest=digest or "",
        )
        found.setdefault(id_, []).append(point)
    return found


def _by_key(rows: Rows) -> dict[Any, dict[str, Any]]:
    """Owner -> key -> value."""
    found: dict[Any, dict[str, Any]] = {}
    for owner, key, value in rows:
        found.setdefault(owner, {})[key] = "" if value is None else value
    return found
