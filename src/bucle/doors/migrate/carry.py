"""Carrying over: everything a source gives becomes ours, portion by portion, and is read back and compared.

A portion is written as a whole or not at all, and what is here already is not written again. So it may be killed at any
moment and started again: it goes on where it was, and nothing is there twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from bucle import loop
from bucle.doors.migrate.found import Files, FoundModel, FoundTrace, FoundVersion, Source
from bucle.doors.migrate.report import Report
from bucle.ground.core import BucleError, Digest, digest_of_value, make_ref, short
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line import registry, tracing, tracking

__all__ = ["carry_over"]

RUNS_AT_ONCE = 500
TRACES_AT_ONCE = 500
POINTS_AT_ONCE = 500_000
MODELS_AT_ONCE = 200
FEW = 1000
"""Faults told one by one; more are counted."""
ASKED = "guarded aliases and stages, now promotion requests (bucle model requests)"

T = TypeVar("T")

Tell = Callable[[str], None]


def carry_over(project: Project, source: Source, *, tell: Tell = lambda text: None) -> Report:
    """Take over everything a source has.

    Args:
        tell: is given a line now and then, for people who wait.
    Returns:
        What was taken over, counted and compared; the ledger has the same as `migrate.imported`.
    Raises:
        DiskFull, DatabaseFailed: what was written stays; started again, it goes on from there.
    """
    work = _Carrying(project, source, tell)
    work.experiments()
    work.runs()
    work.logged_models()
    work.models()
    work.traces()
    tell("sealing the runs")
    tracking.seal(project)
    return work.close()


class _Carrying:
    """One migration under way."""

    def __init__(self, project: Project, source: Source, tell: Tell) -> None:
        self._project = project
        self._source = source
        self._tell = tell
        self._reason = f"imported from {source.address}"
        self._began, self._clock = project.clock.now(), time.monotonic()
        self._counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        self._ids: dict[str, str] = {}
        self._there, self._here = _Sum(), _Sum()
        self._faults = list[Fault]()
        self._more = 0
        self._asked = 0

    def experiments(self) -> None:
        """Take over what runs belong to."""
        found = self._source.experiments()
        self._ids = tracking.adopt_experiments(self._project, found, reason=self._reason)
        self._counts["experiments"] = len(found)
        self._tell(f"{len(found)} experiments")

    def runs(self) -> None:
        """Take over runs with all they hold, then their files."""
        for portion in _ahead(_portions(self._source.runs(), RUNS_AT_ONCE, lambda found: found.run.points)):
            runs = [self._placed(found.run) for found in portion]
            digests = [run.digest() for run in runs]
            self._counts["new_runs"] += self._adopt(runs)
            here = self._compare(runs, digests)
            for found, run in zip(portion, runs, strict=True):
                self._count(run)
                if run.id in here:
                    self._files(make_ref("run", run.id), found.files, is_open=run.lifecycle == "active")
            self._tell(f"{self._counts['runs']:,} runs, {self._counts['points']:,} points")

    def logged_models(self) -> None:
        """Take over logged models, then their files."""
        for portion in _portions(self._source.logged_models(), MODELS_AT_ONCE, lambda found: len(found.model.metrics)):
            models = [msgspec.structs.replace(one.model, experiment_id=self._here_of(one.model)) for one in portion]
            tracking.adopt_logged_models(self._project, models, reason=self._reason)
            self._counts["logged_models"] += len(models)
            for found in portion:
                self._files(make_ref("logged-model", found.model.id), found.files)
            self._compare_models(models)

    def models(self) -> None:
        """Take over registered models with their versions."""
        for found in self._source.models():
            self._counts["models"] += 1
            self._counts["versions"] += len(found.versions)
            self._counts["aliases"] += len(found.model.aliases)
            try:
                self._adopt_model(found)
            except BucleError as error:
                self._fault(f"model {found.model.name}", error.what)

    def traces(self) -> None:
        """Take over traces with their spans; one that is here already stays as it is."""
        for portion in _portions(self._source.traces(), TRACES_AT_ONCE, lambda found: len(found.spans)):
            known = {one.id for one in tracing.traces_by_ids(self._project, [one.trace.id for one in portion])}
            for found in portion:
                self._counts["traces"] += 1
                self._counts["spans"] += len(found.spans)
                if found.trace.id not in known:
                    self._adopt_trace(found)
            self._tell(f"{self._counts['traces']:,} traces")

    def _adopt_trace(self, found: FoundTrace) -> None:
        experiment = self._ids.get(found.trace.experiment_id, "0")
        try:
            given = msgspec.structs.replace(found.trace, experiment_id=experiment)
            trace, spans = tracing.write_trace(given), tracing.write_spans(int(experiment), found.spans, {})
            self._project.database.grouped(lambda connection: (trace(connection), spans(connection)))
        except BucleError as error:
            self._fault(f"trace {found.trace.id}", error.what)

    def close(self) -> Report:
        """Tell the ledger and the caller what came of it."""
        for fault in self._source.faults():
            self._fault(fault.where, fault.what)
        if self._more:
            self._faults.append(Fault(where="and more", what=f"{self._more} other faults"))
        report = Report(
            source=self._source.address,
            kind=self._source.kind,
            began_at=self._began,
            took_s=round(time.monotonic() - self._clock, 3),
            digest=self._there.digest(),
            found=self._here.digest(),
            left=self._left(),
            faults=tuple(self._faults),
            **self._counts,
        )
        with self._project.ledger.transaction(
            "migrate.imported", subject=make_ref("migration", short(report.digest)), actor=self._project.actor
        ) as tx:
            tx.data |= {"source": report.source, "kind": report.kind, "counts": report.counts(), "left": report.left}
            tx.data |= {"digest": report.digest, "found": report.found, "faults": len(report.faults)}
        return report

    def _left(self) -> dict[str, int]:
        kept_back = {ASKED: self._asked} if self._asked else {}
        return {**self._source.left(), **kept_back}

    def _placed(self, run: tracking.WholeRun) -> tracking.WholeRun:
        return msgspec.structs.replace(run, experiment_id=self._ids.get(run.experiment_id, "0"))

    def _here_of(self, model: tracking.LoggedModel) -> str:
        return self._ids.get(model.experiment_id, "0")

    def _adopt(self, runs: Sequence[tracking.WholeRun]) -> int:
        """Write a portion; when one of its runs cannot be kept, the others are."""
        try:
            return tracking.adopt_runs(self._project, runs)
        except tracking.BadText as error:
            if len(runs) == 1:
                self._fault(f"run {runs[0].id}", error.what)
                return 0
            half = len(runs) // 2
            return self._adopt(runs[:half]) + self._adopt(runs[half:])

    def _compare(self, runs: Sequence[tracking.WholeRun], digests: Sequence[Digest]) -> set[str]:
        """Read a portion back. What was here before and is less than what the source has now is added to.

        Returns:
            The ids of those that are here.
        """
        found = self._digests_here(runs)
        behind = [run for run, digest in zip(runs, digests, strict=True) if found.get(run.id, digest) != digest]
        if behind:
            for run in behind:
                self._catch_up(run)
            found |= self._digests_here(behind)
        for run, digest in zip(runs, digests, strict=True):
            self._there.add(run.id, digest)
            if run.id in found:
                self._here.add(run.id, found[run.id])
            if run.id in found and found[run.id] != digest:
                self._fault(f"run {run.id}", "is not the same here as there")
        return set(found)

    def _digests_here(self, runs: Sequence[tracking.WholeRun]) -> dict[str, Digest]:
        return {run.id: run.digest() for run in tracking.whole_runs(self._project, [run.id for run in runs])}

    def _catch_up(self, run: tracking.WholeRun) -> None:
        """A run that went on at its source since it was taken over."""
        try:
            tracking.log(self._project, run.id, columns=run.curves, params=run.params, tags=run.tags)
            tracking.log_inputs(self._project, run.id, run.datasets)
            tracking.update_run(self._project, run.id, status=run.status, ended_at=run.ended_at, name=run.name)
        except BucleError as error:
            self._fault(f"run {run.id}", error.what)

    def _count(self, run: tracking.WholeRun) -> None:
        self._counts["runs"] += 1
        self._counts["params"] += len(run.params)
        self._counts["tags"] += len(run.tags)
        self._counts["points"] += run.points

    def _files(self, owner: str, files: Files, *, is_open: bool = True) -> None:
        """Keep an owner's files; a blob is whole or not there, and its digest is that of the source's bytes."""
        kept = dict[str, tuple[str, int]]()
        for path, content in files():
            try:
                tracking.check_path(path)
                kept[path] = self._keep(content)
            except (tracking.BadArtifactPath, OSError) as error:
                self._fault(f"{path} of {owner}", getattr(error, "what", str(error)))
        self._counts["files"] += len(kept)
        self._counts["file_bytes"] += sum(size for _, size in kept.values())
        known = (
            {file.path: (file.digest, file.size) for file in tracking.every_artifact(self._project, owner)}
            if kept
            else {}
        )
        fresh = {path: found for path, found in kept.items() if known.get(path) != found}
        if not fresh:
            return
        try:
            self._project.database.grouped(
                tracking.artifact_work(self._project, owner, fresh, even_deleted=not is_open)
            )
        except BucleError as error:
            self._fault(owner, error.what)

    def _keep(self, content: Path | bytes) -> tuple[str, int]:
        if isinstance(content, bytes):
            return self._project.blobs.put(content), len(content)
        return self._project.blobs.put_file(content), content.stat().st_size

    def _compare_models(self, models: Sequence[tracking.LoggedModel]) -> None:
        here = {one.id: one for one in tracking.logged_models_by_ids(self._project, [one.id for one in models])}
        for one in models:
            found = here.get(one.id)
            if found is None or (found.params, found.status) != (one.params, one.status):
                self._fault(f"logged model {one.id}", "is not the same here as there")

    def _adopt_model(self, found: FoundModel) -> None:
        versions = [(one.version, self._content(one)) for one in found.versions]
        made = loop.adopt_model(self._project, found.model, versions, reason=self._reason)
        self._asked += len(made.asked)
        here = {one.version: one for one in registry.versions(self._project, found.model.name)}
        for version, content in versions:
            one = here.get(version.version)
            stage = "validated" if (version.version, "stage production") in made.asked else version.stage
            if version.version in made.adoption.spent:
                self._fault(version.ref, "was deleted here, and its number is never given again")
            elif one is None or (one.digest, one.stage, one.run) != (content.digest, stage, version.run):
                self._fault(version.ref, "is not the same here as there")
        aliases = registry.model(self._project, found.model.name).aliases
        for alias, number in found.model.aliases.items():
            if aliases.get(alias) != number and (number, f"alias {alias}") not in made.asked:
                self._fault(f"alias {alias} of {found.model.name}", f"names {aliases.get(alias)} here, {number} there")

    def _content(self, found: FoundVersion) -> registry.Content:
        """What a version is bound to here: a prompt's text, the files its owner has now, or an address elsewhere."""
        text = found.version.tags.get(registry.PROMPT_TEXT)
        if found.version.kind == "prompt" and text is not None:
            return registry.prompt_content(text)
        if found.owner and tracking.list_artifacts(self._project, found.owner, found.path):
            return registry.files_content(self._project, found.owner, found.path)
        # Its files are not here: it stays what it was, an address for the client to go to.
        address = found.version.source
        reference = registry.Reference(provider=urlsplit(address).scheme or "file", id=address or found.version.ref)
        return registry.reference_content(self._project, reference)

    def _fault(self, where: str, what: str) -> None:
        if len(self._faults) < FEW:
            self._faults.append(Fault(where=where, what=what))
        else:
            self._more += 1


_COUNTED = (
    "experiments", "runs", "new_runs", "params", "tags", "points", "files", "file_bytes", "logged_models", "models",
    "versions", "aliases", "traces", "spans",
)  # fmt: skip


class _Sum:
    """One digest of many things that come in order."""

    def __init__(self) -> None:
        self._so_far = ""

    def add(self, name: str, digest: str) -> None:
        """One more."""
        self._so_far = digest_of_value([self._so_far, name, digest])

    def digest(self) -> str:
        """Of all of them."""
        return self._so_far


def _portions(found: Iterator[T], most: int, points_of: Callable[[T], int]) -> Iterator[list[T]]:
    """So many things at a time, fewer when they have many points."""
    portion, points = list[T](), 0
    for one in found:
        portion.append(one)
        points += points_of(one)
        if len(portion) == most or points > POINTS_AT_ONCE:
            yield portion
            portion, points = [], 0
    if portion:
        yield portion


def _ahead(portions: Iterator[T]) -> Iterator[T]:
    """The same, the next one being read while one is written: the database works outside of Python's lock."""
    with ThreadPoolExecutor(1, thread_name_prefix="bucle-migrate-read") as pool:
        following = pool.submit(next, portions, None)
        while (portion := following.result()) is not None:
            following = pool.submit(next, portions, None)
            yield portion
