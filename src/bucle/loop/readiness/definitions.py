"""Definitions: every step, pipeline, view, contract and policy of a project, whether it is documented, and as of what.

The version of a definition is the git commit that holds it and the digest of the code its key is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bucle.ground.code import CodeReader
from bucle.ground.core import BucleError, Record, short
from bucle.ground.project import Project
from bucle.line import contracts, features, gates, pipelines, tracking
from bucle.line.tracking import WorkingTree
from bucle.loop.policy import policy_of
from bucle.loop.readiness.finding import Finding

__all__ = ["Definition", "definitions_of", "look_at_definitions"]

Kind = Literal["step", "pipeline", "view"]


class Definition(Record, frozen=True):
    """A step, pipeline or feature view that a project's file defines.

    Attributes:
        kind: `step`, `pipeline` or `view`.
        where: `file:name`, relative to the project.
        about: the first line of its docstring; empty without one.
        commit: the git commit that holds it as it is; empty when none does.
        code: digest of the code its key is made of; empty when that cannot be read.
        recorded: digest of the code that its last run had; empty when it never ran, and for views and pipelines.
        lacks: why no commit holds it: a file and what is the matter with it.
    """

    kind: Kind
    where: str
    about: str
    commit: str
    code: str
    recorded: str
    lacks: str = ""


class _Named(NamedTuple):
    kind: Kind
    value: Any
    function: Callable[..., Any]


def definitions_of(project: Project) -> list[Definition]:
    """Every definition of the project's own files, in the order of the modules.

    Raises:
        ModuleFailed: a module cannot be imported.
        GitFailed: git cannot tell what changed.
    """
    root = project.root.resolve()
    reader, tree, recorded = CodeReader(root), tracking.working_tree(root), pipelines.last_codes(project)
    return [_definition(one, root, reader, tree, recorded) for one in _named(project, root)]


def look_at_definitions(project: Project, known: Iterable[Definition]) -> list[Finding]:
    """What is to be said of each definition, contract and policy; `ok` where nothing is to be mended."""
    found = [finding for one in known for finding in _of_definition(one)]
    return [*found, *_of_contracts(project), *_of_policies(project)]


def _named(project: Project, root: Path) -> Iterator[_Named]:
    """Steps, pipelines and views, each once, whichever modules import it."""
    seen = set[int]()
    for module in project.modules():
        for value in vars(module).values():
            one = _as_named(value)
            if one is not None and id(value) not in seen and _file_of(one.function).is_relative_to(root):
                seen.add(id(value))
                yield one


def _as_named(value: object) -> _Named | None:
    if isinstance(value, pipelines.Step):
        return _Named("step", value, value.function)
    if isinstance(value, pipelines.Pipeline):
        return _Named("pipeline", value, value.function)
    if isinstance(value, features.FeatureView | features.RequestView):
        return _Named("view", value, value.function)
    return None


def _file_of(function: Callable[..., Any]) -> Path:
    code = getattr(function, "__code__", None)
    return Path(code.co_filename).resolve() if code is not None else Path()


def _definition(
    one: _Named, root: Path, reader: CodeReader, tree: WorkingTree | None, recorded: dict[str, str]
) -> Definition:
    file = _file_of(one.function)
    where = f"{file.relative_to(root).as_posix()}:{one.function.__name__}"
    doc = (one.function.__doc__ or "").strip()
    code, files = _code_of(one, file, reader)
    lacks = _lacks(tree, sorted(path.relative_to(root).as_posix() for path in files if path.is_relative_to(root)))
    return Definition(
        kind=one.kind,
        where=where,
        about=doc.splitlines()[0] if doc else "",
        commit=tree.commit if tree is not None and not lacks else "",
        code=code,
        recorded=recorded.get(where, "") if one.kind == "step" else "",
        lacks=lacks,
    )


def _code_of(one: _Named, file: Path, reader: CodeReader) -> tuple[str, list[Path]]:
    """The digest of what it reaches, and the files that are; only its own file where it is no top-level function."""
    try:
        code = reader.read(file, one.function.__name__)
    except BucleError:
        return (one.value.digest if one.kind == "view" else ""), [file]
    return (one.value.digest if one.kind == "view" else code.digest), [Path(name) for name in code.sources]


def _lacks(tree: WorkingTree | None, files: list[str]) -> str:
    if tree is None:
        return "the project is in no git repository with a commit"
    return "; ".join(f"{file} is {lack}" for file in files if (lack := tree.lacks(file)))


def _of_definition(one: Definition) -> Iterator[Finding]:
    if not one.about:
        yield _finding(
            "docstring", one.where, "problem", f"The {one.kind} has no docstring.", "Say below its def what it gives."
        )
    if one.lacks:
        fix = (
            "git add -A && git commit" if "git repository" not in one.lacks else "git init && git add -A && git commit"
        )
        detail = f"No commit holds it: {one.lacks}. Its code is {short(one.code)}."
        yield _finding("version", one.where, "warning", detail, fix)
    elif not one.code:
        yield _finding(
            "version", one.where, "problem", "Its code cannot be read.", "Move it to the top level of a module."
        )
    if one.about and one.commit and one.code:
        ran = " The last run had other code." if one.recorded not in ("", one.code) else ""
        yield _finding(one.kind, one.where, "ok", f"git {one.commit[:12]}, code {short(one.code)}.{ran}")


def _of_contracts(project: Project) -> Iterator[Finding]:
    for path in sorted((project.root / "contracts").glob("*.yaml")):
        where = f"contracts/{path.name}"
        yield _tried("contract", where, partial(_read_contract, path))


def _read_contract(path: Path) -> str:
    contract = contracts.load(path)
    if contract.table != path.stem:
        raise contracts.ContractInvalid(
            f"It is the contract of {contract.table!r}.", fix=f"Name the file {contract.table}.yaml."
        )
    return f"{len(contract.columns)} columns have rules."


def _of_policies(project: Project) -> Iterator[Finding]:
    for name in project.config.names("loop"):
        yield _tried("policy", f"[loop.{name}]", partial(_read_policy, project, name))


def _read_policy(project: Project, name: str) -> str:
    policy = policy_of(project, name)
    judges = gates.gates_of(policy.gates)
    known = pipelines.pipelines_of(project)
    if policy.pipeline not in known:
        raise pipelines.NoSuchPipeline(
            f"There is no pipeline {policy.pipeline!r}.", fix=f"There is: {', '.join(sorted(known)) or 'none'}."
        )
    return f"{policy.pipeline}, {len(judges)} gates, version {short(policy.digest)}."


def _tried(what: str, where: str, read: Callable[[], str]) -> Finding:
    try:
        return _finding(what, where, "ok", read())
    except BucleError as error:
        return _finding(what, where, "problem", error.what, error.fix or error.why)


def _finding(what: str, where: str, state: Literal["ok", "warning", "problem"], detail: str, fix: str = "") -> Finding:
    return Finding(about="definition", what=what, where=where, state=state, detail=detail, fix=fix)
