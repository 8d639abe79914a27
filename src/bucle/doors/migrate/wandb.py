"""The folders of W&B's runs, offline or not, in our nouns. W&B itself is not needed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bucle.doors.migrate.errors import BadSource, UnknownSchema
from bucle.doors.migrate.found import FoundFile, FoundLoggedModel, FoundModel, FoundRun, FoundTrace
from bucle.doors.migrate.mlflow_words import known_instant
from bucle.doors.migrate.wandb_log import WandbLog
from bucle.doors.migrate.wandb_record import WandbRun
from bucle.ground.core import digest_of
from bucle.ground.core.protobuf import BadProtobuf
from bucle.ground.ledger import Fault
from bucle.line.tracking import Circumstances, Experiment, Status, WholeRun, gather_curves

__all__ = ["WandbFolder"]

NOTE = "mlflow.note.content"
"""The tag in which every client of MLflow keeps a run's description."""

UNNAMED = "uncategorized"
"""What W&B calls the project of a run without one."""


class WandbFolder:
    """A source: a folder `wandb`, the folder it lies in, or one run's folder.

    Args:
        folder: where to look for `run-….wandb`.
        follow_links: whether what a symbolic link among a run's files leads to is taken over. W&B makes one for each
            file that is saved; but a folder from a stranger may lead to any file of yours.
    Raises:
        BadSource: there is no run.
    """

    kind = "wandb"

    def __init__(self, folder: Path, *, follow_links: bool = False) -> None:
        self.address = str(folder.resolve())
        self._follow = follow_links
        self._left: dict[str, int] = {}
        self._faults = list[Fault]()
        self._logs = _logs(folder)
        self._experiments = self._projects()

    def close(self) -> None:
        """Nothing is held."""

    def experiments(self) -> list[Experiment]:
        """See `Source.experiments`: a project is an experiment."""
        return self._experiments

    def runs(self) -> Iterator[FoundRun]:
        """See `Source.runs`. Cost: one run's log in memory. A run that was resumed has several."""
        for logs in self._logs.values():
            run = WandbRun()
            for log in logs:
                self._read(log, run)
            if run.id:
                yield self._found(run, [log.parent for log in logs])
            else:
                self._count("logs without a run")

    def logged_models(self) -> Iterator[FoundLoggedModel]:
        """None: W&B has none."""
        return iter(())

    def models(self) -> Iterator[FoundModel]:
        """None: W&B's registry is on its server."""
        return iter(())

    def traces(self) -> Iterator[FoundTrace]:
        """None: offline runs have none we know."""
        return iter(())

    def left(self) -> dict[str, int]:
        """See `Source.left`."""
        return self._left

    def faults(self) -> list[Fault]:
        """See `Source.faults`."""
        return self._faults

    def _read(self, log: Path, run: WandbRun) -> None:
        """Everything before the first damage, which is told."""
        damage = ""
        try:
            opened = WandbLog(log)
            for record in opened.records():
                run.take(record)
            damage = opened.damage
        except BadProtobuf as error:
            damage = f"a record cannot be understood: {error}"
        except (UnknownSchema, BadSource) as error:
            damage = error.what
        if damage:
            self._faults.append(
                Fault(where=f"{log.parent.name}/{log.name}", what=f"{damage}; everything before it was taken over")
            )

    def _projects(self) -> list[Experiment]:
        """Only the first records are read: there stands what a run belongs to."""
        first: dict[str, int] = {}
        for logs in self._logs.values():
            run = WandbRun()
            _read_start(logs[0], run)
            name = run.project or UNNAMED
            first[name] = min(first.get(name, run.started_ms or 0), run.started_ms or 0)
        return [
            Experiment(
                id=name,
                name=name,
                lifecycle="active",
                artifact_location="",
                created_at=known_instant(at),
                updated_at=known_instant(at),
            )
            for name, at in sorted(first.items())
        ]

    def _found(self, run: WandbRun, folders: Sequence[Path]) -> FoundRun:
        _add_summary(run)
        whole = WholeRun(
            id=digest_of(f"wandb/{run.entity}/{run.project}/{run.id}".encode())[:32],
            experiment_id=run.project or UNNAMED,
            name=run.name or run.id,
            status=_status(run),
            actor=run.user or run.entity,
            started_at=known_instant(run.started_ms),
            ended_at=known_instant(run.last_ms, run.started_ms),
            params={key: _text(value) for key, value in run.config.items() if key},
            tags=_tags(run),
            curves=gather_curves(*run.points),
            circumstances=Circumstances(code_commit=run.commit),
        )
        return FoundRun(whole, lambda: self._files(run, folders))

    def _files(self, run: WandbRun, folders: Sequence[Path]) -> Iterator[FoundFile]:
        for folder in folders:
            yield from self._saved(folder / "files")
        for name, entries in run.artifacts.items():
            for path, (local, digest) in entries.items():
                if _has_md5(Path(local), digest):
                    yield FoundFile(f"artifacts/{name}/{path}", Path(local))
                else:
                    self._count("files of artifacts that are not on this machine any more")
        if run.environment:
            yield FoundFile("wandb/environment.json", _pretty(run.environment))
        if run.others:
            lines = (json.dumps(one, ensure_ascii=False) for one in run.others)
            yield FoundFile("wandb/history.jsonl", ("\n".join(lines) + "\n").encode())

    def _saved(self, folder: Path) -> Iterator[FoundFile]:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if file.is_symlink() and not self._follow:
                self._count("symbolic links among saved files; --follow-links takes what they lead to")
            elif file.is_file():
                yield FoundFile(file.relative_to(folder).as_posix(), file)

    def _count(self, told: str) -> None:
        self._left[told] = self._left.get(told, 0) + 1


def _logs(folder: Path) -> dict[str, list[Path]]:
    """The logs of each run, by its id and in the order in which they were written."""
    patterns = ("run-*.wandb", "*run-*/run-*.wandb", "wandb/*run-*/run-*.wandb")
    found = {log for pattern in patterns for log in folder.glob(pattern) if not log.parent.is_symlink()}
    by_run: dict[str, list[Path]] = {}
    for log in sorted(found, key=lambda one: (one.parent.name.removeprefix("offline-"), one)):
        by_run.setdefault(log.stem, []).append(log)
    if not by_run:
        raise BadSource(
            f"There is no run of W&B in {folder}." if folder.is_dir() else f"There is no folder {folder}.",
            why="A run is a folder `offline-run-…` or `run-…` with a file `run-….wandb` in it.",
            fix="Name the folder `wandb` that W&B wrote, or the one it lies in.",
            at=str(folder),
        )
    return dict(sorted(by_run.items()))


def _read_start(log: Path, run: WandbRun) -> None:
    try:
        for record in WandbLog(log).records():
            run.take(record)
            if run.id:
                return
    except (BadProtobuf, UnknownSchema, BadSource):
        return


def _add_summary(run: WandbRun) -> None:
    """What only the summary says: a number is a point at the last step."""
    logged, steps = set(run.points[0]), run.points[1]
    last, at = max(steps, default=0), run.last_ms or 0
    for key, value in run.summary.items():
        if not key.startswith("_") and key not in logged and isinstance(value, int | float):
            run.points[0].append(key)
            run.points[1].append(last)
            run.points[2].append(at)
            run.points[3].append(float(value))


def _tags(run: WandbRun) -> dict[str, str]:
    about = {
        NOTE: run.notes,
        "wandb.run_id": run.id,
        "wandb.entity": run.entity,
        "wandb.group": run.group,
        "wandb.job_type": run.job_type,
        "wandb.sweep_id": run.sweep,
        "wandb.host": run.host,
        "wandb.git_remote": run.remote,
        "wandb.exit_code": "" if run.exit_code is None else str(run.exit_code),
    }
    logged = set(run.points[0]) | {one["key"].split(".")[0] for one in run.others}
    told = {
        f"wandb.summary.{key}": _text(value)
        for key, value in run.summary.items()
        if not key.startswith("_") and key not in logged and key.split(".")[0] not in logged
    }
    return {**dict.fromkeys(run.tags, "true"), **{key: value for key, value in about.items() if value}, **told}


def _status(run: WandbRun) -> Status:
    """A run without an end was killed, or still goes on elsewhere: its log is all there is."""
    if run.exit_code is None:
        return "killed"
    return "finished" if run.exit_code == 0 else "failed"


def _has_md5(file: Path, digest: str) -> bool:
    """Whether a file is the one W&B noted: a log from a stranger must not name any other file of this machine."""
    try:
        with file.open("rb") as opened:
            hashed = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).digest()
    except OSError:
        return False
    return bool(digest) and base64.b64encode(hashed).decode() == digest


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
