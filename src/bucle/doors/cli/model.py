"""`bucle model`: versions, stages, aliases."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_reason
from bucle.doors.cli.errors import BadUsage
from bucle.doors.cli.references import execution_of, version_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.pipelines import Execution
    from bucle.line.registry import ModelVersion

__all__ = ["VERBS"]

VERSION = "e.g. tumours@1, tumours@champion, or tumours for the latest"


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import registry

    with terminal.project() as project:
        found = registry.models(project)
    rows = [
        {"model": one.name, "versions": one.latest, "aliases": _pairs(one.aliases), "stages": _pairs(one.stages),
         "updated_at": one.updated_at}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("model", "versions", "aliases", "stages", "updated_at"), told=rows)
    terminal.next(f"bucle model versions {found[0].name}" if found else "bucle model register MODEL --execution ID")


def _pairs(given: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in given.items())


def _version(parser: ArgumentParser) -> None:
    parser.add_argument("version", help=VERSION)


def _show(options: Namespace, terminal: Terminal) -> None:
    """A version's passport: where it comes from, what it takes, what was said of it."""
    from bucle.ground import governance
    from bucle.line import gates, registry

    with terminal.project() as project:
        found = version_of(project, options.version)
        package = registry.load_package(project, found.digest)
        verdicts = gates.verdicts(project, found.ref)
        said = governance.approvals(project, found.ref, digest=found.digest)
    terminal.show({"version": found, "package": package, "verdicts": verdicts, "approvals": said}, told=_told(found))
    terminal.tell_table(package.request.inputs, ("name", "type", "nullable"), title="what it asks for")
    terminal.tell_table(verdicts, ("id", "passed", "against", "rows", "at"), title="what the gates said")
    terminal.tell_table(said, ("principal", "at", "reason"), title="who said yes")
    terminal.next(_after(found))


def _told(found: ModelVersion) -> dict[str, Any]:
    names = ("digest", "stage", "run", "execution", "commit", "author", "created_at", "description")
    told = {"version": found.ref} | {name: getattr(found, name) for name in names}
    return {**told, "aliases": ", ".join(found.aliases), "metrics": _pairs(found.metrics)}


def _after(found: ModelVersion) -> str:
    """What is to be done with a version next."""
    name = found.ref.removeprefix("model/")
    steps = {"registered": f"bucle gate judge {name}", "validated": f"bucle deploy roll {found.model} {name}"}
    return steps.get(found.stage, f"bucle model history {found.model}")


def _versions_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default=None, help="whose (default: every model's)")


def _versions(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import registry

    with terminal.project() as project:
        found = registry.versions(project, options.model)
    rows = [
        {"version": one.ref.removeprefix("model/"), "stage": one.stage, "aliases": ", ".join(one.aliases),
         "metrics": _pairs({name: f"{value:.4f}" for name, value in one.metrics.items()}), "author": one.author,
         "created_at": one.created_at}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("version", "stage", "aliases", "metrics", "author", "created_at"), told=rows)
    terminal.next(f"bucle model show {rows[-1]['version']}" if rows else "bucle model register MODEL --execution ID")


def _alias_arguments(parser: ArgumentParser) -> None:
    _version(parser)
    parser.add_argument("alias", help="e.g. champion")
    parser.add_argument("--remove", action="store_true", help="take the alias away")
    add_reason(parser)


def _alias(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import registry

    with terminal.project() as project:
        found = version_of(project, options.version)
        number = None if options.remove else found.version
        named = registry.set_alias(
            project, found.model, options.alias, number, actor=project.actor, reason=options.reason
        )
    terminal.show({"model": found.model, "alias": options.alias, "version": named.version if named else None})
    terminal.next(f"bucle model versions {found.model}")


def _stage_arguments(parser: ArgumentParser) -> None:
    _version(parser)
    parser.add_argument("stage", help="registered, validated, production, archived or rejected")
    add_reason(parser)


def _stage(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import registry

    with terminal.project() as project:
        found = version_of(project, options.version)
        moved = registry.transition(
            project, found.model, found.version, options.stage, actor=project.actor, reason=options.reason
        )
    terminal.show(moved, told=_told(moved))
    terminal.next(_after(moved))


def _approve_arguments(parser: ArgumentParser) -> None:
    _version(parser)
    parser.add_argument("--as", dest="principal", default="", metavar="NAME", help="who says yes (default: you)")
    add_reason(parser)


def _approve(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import governance

    with terminal.project() as project:
        found = version_of(project, options.version)
        said = governance.approve(
            project, found.ref, digest=found.digest, principal=options.principal or project.actor, author=found.author,
            reason=options.reason,
        )  # fmt: skip
    terminal.show(said)
    terminal.next(f"bucle loop show {found.model}")


def _register_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="whose next version it becomes")
    parser.add_argument("file", nargs="?", default="", metavar="FILE.onnx", help="a model from elsewhere")
    parser.add_argument("--execution", default="", metavar="ID", help="what a pipeline made, e.g. its package")
    parser.add_argument("--description", default="", metavar="TEXT", help="for people")
    add_reason(parser)


def _register(options: Namespace, terminal: Terminal) -> None:
    if bool(options.file) == bool(options.execution):
        raise BadUsage("Give a file, or the execution that made the model.", fix="bucle model register MODEL FILE.onnx")
    with terminal.project() as project:
        take = _from_execution if options.execution else _from_file
        found = take(project, options)
    terminal.show(found, told=_told(found))
    terminal.next(_after(found))


def _from_file(project: Project, options: Namespace) -> ModelVersion:
    from bucle.ground.core import NotFound
    from bucle.line import registry

    try:
        content = Path(options.file).read_bytes()
    except OSError as error:
        raise NotFound(f"{options.file} cannot be read: {error.strerror}.", fix="Name an ONNX file.") from error
    package = registry.pack(project, content)
    return registry.register(
        project, options.model, package, description=options.description, reason=options.reason or options.file
    )


def _from_execution(project: Project, options: Namespace) -> ModelVersion:
    """What a pipeline returned in the form the loop understands: `package`, and if there are, `run` and `metrics`."""
    from bucle.line import registry

    made = execution_of(project, options.execution)
    result = _result(made)
    return registry.register(
        project, options.model, result["package"], run=result.get("run", ""), execution=made.id,
        commit=made.params.get("commit", ""), metrics=result.get("metrics", {}), description=options.description,
        reason=options.reason or f"execution {made.id}",
    )  # fmt: skip


def _result(made: Execution) -> dict[str, Any]:
    if isinstance(made.result, dict) and "package" in made.result:
        return made.result
    raise BadUsage(
        f"Execution {made.id} of {made.pipeline!r} ({made.status}) gave no package.",
        why="A pipeline that makes a model returns {'package': …, 'run': …, 'metrics': …}.",
        fix=f"See what it gave: bucle run --show {made.id}",
    )


def _history_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model")


def _history(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import registry

    with terminal.project() as project:
        registry.versions(project, options.model)
        found = registry.history(project, options.model)
    terminal.show(found, ("seq", "at", "actor", "kind", "subject", "reason"))


def _reproduce(options: Namespace, terminal: Terminal) -> int:
    """Run every step that made a version again, without the cache, and compare bit for bit."""
    from bucle.line import pipelines

    with terminal.project() as project:
        found = version_of(project, options.version)
        if not found.execution:
            raise BadUsage(
                f"{found.ref} was made by no pipeline here.", fix="Only what `bucle run` made is reproduced."
            )
        again = [pipelines.reproduce(project, step) for step in pipelines.step_runs(project, found.execution)]
    terminal.show(again, ("step", "identical", "same_environment", "step_run"))
    same = all(one.identical for one in again)
    terminal.say("Bit for bit the same." if same else "It came out otherwise.")
    return 0 if same else FOUND


VERBS: tuple[Verb, ...] = (
    Verb("list", "every model", _list, example="bucle model list"),
    Verb("show", "a version: origin, inputs, verdicts, approvals", _show, _version, "bucle model show tumours@1"),
    Verb("versions", "the versions of a model, oldest first", _versions, _versions_arguments,
         "bucle model versions tumours"),
    Verb("register", "give a model its next version", _register, _register_arguments,
         "bucle model register tumours --execution ID"),
    Verb("alias", "let a name point at a version", _alias, _alias_arguments, "bucle model alias tumours@1 champion"),
    Verb("stage", "move a version to another stage", _stage, _stage_arguments,
         "bucle model stage tumours@1 archived --reason 'too old'"),
    Verb("approve", "say yes to exactly these bytes", _approve, _approve_arguments, "bucle model approve tumours@1"),
    Verb("history", "all that happened to a model", _history, _history_arguments, "bucle model history tumours"),
    Verb("reproduce", "make a version again and compare; exit status 7 when it differs", _reproduce, _version,
         "bucle model reproduce tumours@1"),
)  # fmt: skip
