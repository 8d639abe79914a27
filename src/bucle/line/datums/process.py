"""Process: the step called for what is new, and the folder of outputs made what all datums give, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bucle.ground.code import CodeReader
from bucle.ground.core import (
    Digest,
    Environment,
    ProjectSection,
    Record,
    decode,
    digest_of_value,
    encode,
    environment,
    to_builtins,
)
from bucle.ground.project import Project
from bucle.ground.store import BlobMissing
from bucle.line import data, pipelines
from bucle.line.datums.datum import Datum
from bucle.line.datums.errors import BadDatums, DatumClash
from bucle.line.datums.index import EVENT, Index, Made, index_of, keep_index, reusable
from bucle.line.datums.over import datums_in
from bucle.line.datums.settings import DatumStep, datum_step, step_of
from bucle.line.files import (
    FOLDER,
    BadPath,
    FileEntry,
    Seals,
    below_file,
    check_path,
    content_path,
    folders_above,
)

__all__ = ["Processed", "process"]


class Processed(Record, frozen=True):
    """What a run did.

    Attributes:
        name: of `[datums.NAME]`.
        source: the commit whose files were gone over.
        commit: the branch's head with the outputs.
        datums: how many there are.
        new: for how many the step was asked; each computed, or known from an earlier execution.
        gone: how many of the run before are no more; what they gave is removed.
        files: how many outputs there are.
        execution: that asked the step; '' when nothing was new.
    """

    name: str
    source: str
    commit: str
    datums: int
    new: int
    gone: int
    files: int
    execution: str


@pipelines.pipeline
def call_for_each(project: Project, name: str, datums: str, at_once: int) -> str:
    """The body: one call of the step for each datum; the digest of what they gave.

    Args:
        project: the open project.
        name: of `[datums.NAME]`.
        datums: the blob that holds them.
        at_once: how many processes run at the same time.
    """
    step = step_of(project, datum_step(project, name).step, f"[datums.{name}]")
    (parameter,) = step.interface.params
    wanted = decode(project.blobs.get(datums), list[Datum])
    given = step.map([{parameter: datum} for datum in wanted], at_once=at_once)
    outputs = [{path: content.digest for path, content in one.items()} for one in given]
    return project.blobs.put(encode(outputs))


def process(
    project: Project,
    name: str,
    *,
    report: Callable[[pipelines.StepRun], None] | None = None,
    executor: pipelines.Executor | None = None,
) -> Processed:
    """Bring the outputs of `[datums.NAME]` up to the branch's head.

    Nothing is called for a datum whose paths and contents are those of an earlier run, by the same code in the same
    environment. When a step fails nothing becomes visible; the calls that had finished are known to the next run.

    Args:
        name: of `[datums.NAME]`.
        report: told of every change of a step, from the thread it happens in.
        executor: where calls run; the project's own local processes unless given.
    Raises:
        NoSuchDatums, BadDatums, NoSuchBranch: it cannot be carried out.
        StepFailed: a call failed.
        DatumClash: two datums gave one path, or one a path that cannot stand in the tree, such as one below a file.
        ProtectedBranch, HookRefused: the branch may not move so.
    Cost: a look at every path of the branch; a process for every datum that is new.
    """
    settings = datum_step(project, name)
    where, prefix = f"[datums.{name}]", f"{settings.into}/"
    step = step_of(project, settings.step, where)
    _refuse_encrypted(project, settings, where)
    source = data.resolve(project, settings.branch)
    tree = data.files(project, source.id)
    _refuse_file(tree, settings, name)
    inputs = {path: one for path, one in tree.items() if not (path.startswith(prefix) or data.is_own(path))}
    datums = datums_in(inputs, settings.over, at=where)
    recipe = _recipe(project, step, executor.environment if executor else environment())
    before = _index_before(project, name)
    known = reusable(project, before, datums) if before is not None and before.recipe == recipe else {}
    new = [datum for datum in datums if datum.key not in known]
    execution, made = _call(project, name, new, settings.at_once, report=report, executor=executor)
    index = Index(
        recipe=recipe, commit=source.id, made={one.key: made.get(one.key) or known[one.key] for one in datums}
    )
    commit = _publish(project, settings, name, index)
    gone = len(before.made.keys() - index.made.keys()) if before is not None else 0
    done = Processed(
        name=name, source=source.id, commit=commit, datums=len(datums), new=len(new), gone=gone,
        files=len(index.outputs()), execution=execution,
    )  # fmt: skip
    _note(project, done, settings.into, index)
    return done


def _recipe(project: Project, step: pipelines.Step[..., Any], place: Environment) -> Digest:
    """What an output depends on besides its datum."""
    code = CodeReader(project.root).read(*step.source)
    purpose = project.config.section("project", ProjectSection).purpose
    return digest_of_value({"code": code.digest, "environment": place.digest, "purpose": purpose})


def _index_before(project: Project, name: str) -> Index | None:
    events = project.ledger.events(kinds=[EVENT], subject=f"datums/{name}", newest_first=True, limit=1)
    try:
        return index_of(project, events[0].data["index"]) if events else None
    except BlobMissing:
        return None


def _call(
    project: Project,
    name: str,
    new: list[Datum],
    at_once: int,
    *,
    report: Callable[[pipelines.StepRun], None] | None,
    executor: pipelines.Executor | None,
) -> tuple[str, dict[str, Made]]:
    """Ask the step about what is new: the execution, and what each datum gave by its key."""
    if not new:
        return "", {}
    params = {"name": name, "datums": project.blobs.put(encode(new)), "at_once": at_once}
    execution = pipelines.run(project, call_for_each, params, report=report, executor=executor)
    outputs = decode(project.blobs.get(execution.result), list[dict[str, str]])
    return execution.id, {
        datum.key: Made(
            datum=datum.name,
            inputs={path: entry.digest for path, entry in datum.files.items()},
            outputs=given,
            execution=execution.id,
        )
        for datum, given in zip(new, outputs, strict=True)
    }


def _publish(project: Project, settings: DatumStep, name: str, index: Index) -> str:
    """Make the folder what the datums give, and nothing else; the branch's head."""
    head = data.resolve(project, settings.branch)
    wanted = {f"{settings.into}/{path}": digest for path, digest in index.outputs().items()}
    _check_paths(wanted, name)
    there = {
        path: entry.digest
        for path, entry in data.files(project, head.id).items()
        if path.startswith(f"{settings.into}/")
    }
    changes = {path: content_path(project, digest) for path, digest in wanted.items() if there.get(path) != digest}
    removed = dict.fromkeys(there.keys() - wanted.keys())
    if not changes and not removed:
        return head.id
    told = f"{name}: {len(index.made):,} datums, {len(changes):,} files written, {len(removed):,} removed"
    try:
        return data.commit(project, {}, files={**changes, **removed}, branch=settings.branch, message=told).id
    except BadPath as error:
        raise _clash(name, error) from error


def _note(project: Project, done: Processed, into: str, index: Index) -> None:
    """On the ledger: what was made of what; the next run begins from it."""
    told = {**to_builtins(done), "into": into, "index": keep_index(project, index)}
    with project.ledger.transaction(EVENT, subject=f"datums/{done.name}", actor=project.actor, data=told) as written:
        if done.execution:
            written.edge(f"commit/{done.source}", f"execution/{done.execution}", "read_by")
            written.edge(f"execution/{done.execution}", f"commit/{done.commit}", "made")


def _check_paths(paths: Iterable[str], name: str) -> None:
    for path in paths:
        try:
            check_path(path)
        except BadPath as error:
            raise DatumClash(
                f"The step of [datums.{name}] gave the path {path!r}.",
                why=error.what,
                fix="Give contents by paths within the folder of outputs, e.g. 'a.png' or 'a/edges.png'.",
                at=path,
            ) from error


def _refuse_file(tree: Mapping[str, FileEntry], settings: DatumStep, name: str) -> None:
    """Outputs lie in a folder; where it is to be, no file may stand, nor above."""
    for path in (settings.into, *folders_above(settings.into)):
        if path in tree and tree[path].mode != FOLDER:
            raise _clash(name, below_file(f"{settings.into}/…", path))


def _clash(name: str, error: BadPath) -> DatumClash:
    return DatumClash(
        f"The outputs of [datums.{name}] cannot stand in the tree: {error.what}",
        why=error.why,
        fix="Give other paths, put the outputs elsewhere (`into`), or remove what is in the way.",
        at=error.at,
    )


def _refuse_encrypted(project: Project, settings: DatumStep, where: str) -> None:
    """Outputs of steps lie in the blob store as they are."""
    if Seals(project).of(f"{settings.into}/x") is not None:
        raise BadDatums(
            f"{where}: {settings.into!r} is encrypted.",
            why="What steps give is kept as it is on its way to the tree.",
            fix="Put the outputs elsewhere, or write an encrypted folder with `bucle data add-files`.",
            at=where,
        )
