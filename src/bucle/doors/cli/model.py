"""`bucle model`: versions, stages, aliases."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_reason
from bucle.doors.cli.causes import COMPARE_VERSIONS
from bucle.doors.cli.errors import BadUsage
from bucle.doors.cli.references import execution_of, model_and_version, version_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

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
        package = registry.package_of(project, found) if found.kind == "package" else None
        files = registry.files_of(project, found)
        verdicts = gates.verdicts(project, found.ref)
        said = governance.approvals(project, found.ref, digest=found.digest)
    shown = {"version": found, "package": package, "files": files, "verdicts": verdicts, "approvals": said}
    terminal.show(shown, told=_told(found))
    if package is not None:
        terminal.tell_table(package.request.inputs, ("name", "type", "nullable"), title="what it asks for")
    else:
        rows = [{"file": path, "digest": digest} for path, digest in files.items()]
        terminal.tell_table(rows, ("file", "digest"), title="its files")
    terminal.tell_table(verdicts, ("id", "passed", "against", "rows", "at"), title="what the gates said")
    terminal.tell_table(said, ("principal", "at", "reason"), title="who said yes")
    terminal.next(_after(found))


def _told(found: ModelVersion) -> dict[str, Any]:
    names = ("kind", "digest", "stage", "successor", "run", "model_id", "execution", "commit", "source", "author",
             "created_at", "description")  # fmt: skip
    told = {"version": found.ref} | {name: getattr(found, name) for name in names}
    lists = {"aliases": ", ".join(found.aliases), "tags": _pairs(found.tags), "metrics": _pairs(found.metrics)}
    return {**told, **lists}


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
    """Let a name point at a version; one that the model's policy guards only at a version that has what it takes.

    Raises:
        NotYetPromotable: it lacks a verdict or approvals.
    """
    from bucle import loop

    with terminal.project() as project:
        found = version_of(project, options.version)
        number = None if options.remove else found.version
        named = loop.set_alias(project, found.model, options.alias, number, reason=options.reason)
    terminal.show({"model": found.model, "alias": options.alias, "version": named.version if named else None})
    terminal.next(f"bucle model versions {found.model}")


def _stage_arguments(parser: ArgumentParser) -> None:
    _version(parser)
    parser.add_argument("stage", help="registered, validated, production, archived or rejected")
    add_reason(parser)


def _stage(options: Namespace, terminal: Terminal) -> None:
    """Move a version to another stage; to production only when it has what the model's policy wants.

    Raises:
        NotYetPromotable: it lacks a verdict or approvals.
    """
    from bucle import loop

    with terminal.project() as project:
        found = version_of(project, options.version)
        moved = loop.transition(project, found.model, found.version, options.stage, reason=options.reason)
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
    """Who changed what, when, from which to which, and why; of a deleted model as well."""
    from bucle.line import registry

    with terminal.project() as project:
        found = registry.changes(project, options.model)
        if not found:
            registry.model(project, options.model)
    terminal.show(found, ("seq", "at", "actor", "version", "what", "before", "after", "reason"))


def _copy_arguments(parser: ArgumentParser) -> None:
    _version(parser)
    parser.add_argument("to", metavar="FOLDER", help="the other project")
    parser.add_argument("--as", dest="name", default="", metavar="MODEL", help="its name there (default: the same)")
    add_reason(parser)


def _copy(options: Namespace, terminal: Terminal) -> None:
    """Give another project a version, byte for byte; its gates judge it anew."""
    from bucle.ground.project import Project
    from bucle.line import registry

    with terminal.project() as project:
        found = version_of(project, options.version)
        target = Project.open(options.to, actor=project.actor)
        try:
            made = registry.copy_version(
                project, found.model, found.version, target, options.name, reason=options.reason
            )
        finally:
            target.close()
    terminal.show(made, told=_told(made))
    terminal.next(f"bucle model show {made.model}@{made.version} --project {options.to}")


def _retire_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="e.g. tumours@1, or tumours for all of it")
    parser.add_argument("--successor", required=True, metavar="VERSION", help="e.g. tumours@2, or another model")
    add_reason(parser)


def _retire(options: Namespace, terminal: Terminal) -> None:
    """Send a version or a whole model to the archive, and say what is to be used instead.

    Raises:
        ModelInUse: it still answers traffic.
    """
    from bucle import loop

    with terminal.project() as project:
        name, _, given = options.version.removeprefix("model/").partition("@")
        number = version_of(project, options.version).version if given else None
        successor = options.successor.removeprefix("model/")
        gone = loop.retire(project, name, number, successor=successor, reason=options.reason)
    rows = [{"version": one.ref.removeprefix("model/"), "stage": one.stage, "successor": one.successor} for one in gone]
    terminal.show(gone, ("version", "stage", "successor"), told=rows)
    terminal.next(f"bucle model history {name}")


def _reference_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="whose next version it becomes")
    parser.add_argument("provider", help="who offers it, e.g. huggingface")
    parser.add_argument("id", help="how it is called there")
    parser.add_argument("--pin", default="", metavar="TEXT", help="the revision or snapshot that is meant")
    parser.add_argument("--licence", default="", metavar="SPDX", help="under which it may be used")
    parser.add_argument("--hash", default="", metavar="DIGEST", help="of its weights, e.g. sha256:…")
    add_reason(parser)


def _reference(options: Namespace, terminal: Terminal) -> None:
    """Register a model that lives elsewhere, by name, version and licence."""
    from bucle.line import registry

    given = registry.Reference(
        provider=options.provider, id=options.id, version=options.pin, licence=options.licence, hash=options.hash
    )
    with terminal.project() as project:
        made = registry.register_reference(project, options.model, given, reason=options.reason)
    terminal.show(made, told=_told(made))
    terminal.next(f"bucle model history {made.model}")


def _tag_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="e.g. tumours@1, or tumours for the model itself")
    parser.add_argument("key")
    parser.add_argument("value", nargs="?", default=None, help="leave it out to take the tag off")
    add_reason(parser)


def _tag(options: Namespace, terminal: Terminal) -> None:
    """Write a tag on a version or a model, or take it off."""
    from bucle.line import registry

    with terminal.project() as project:
        name, _, given = options.version.removeprefix("model/").partition("@")
        if given:
            number = version_of(project, options.version).version
            if options.value is None:
                registry.delete_version_tag(project, name, number, options.key, reason=options.reason)
            else:
                registry.set_version_tag(project, name, number, options.key, options.value, reason=options.reason)
            tags = registry.version(project, name, number).tags
        else:
            if options.value is None:
                registry.delete_model_tag(project, name, options.key, reason=options.reason)
            else:
                registry.set_model_tag(project, name, options.key, options.value, reason=options.reason)
            tags = registry.model(project, name).tags
    terminal.show({"name": options.version, "tags": tags}, told={"name": options.version, "tags": _pairs(tags)})


def _rename_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("to", metavar="NAME", help="one that never had versions")
    add_reason(parser)


def _rename(options: Namespace, terminal: Terminal) -> None:
    """Call a model and its versions otherwise; the ledger goes on telling what they were called."""
    from bucle import loop

    with terminal.project() as project:
        found = loop.rename_model(project, options.model, options.to, reason=options.reason)
    terminal.show(found, told={"model": found.name, "versions": found.versions, "aliases": _pairs(found.aliases)})
    terminal.next(f"bucle model versions {found.name}")


def _delete_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="e.g. tumours@1, or tumours for all of it")
    add_reason(parser)


def _delete(options: Namespace, terminal: Terminal) -> None:
    """Take away a version or a whole model. Its history stays, its number is never given again.

    Raises:
        ModelInUse: it answers traffic, or a policy guards it.
    """
    from bucle import loop

    with terminal.project() as project:
        name, _, given = options.version.removeprefix("model/").partition("@")
        if given:
            loop.delete_version(project, name, version_of(project, options.version).version, reason=options.reason)
        else:
            loop.delete_model(project, name, reason=options.reason)
    terminal.show({"deleted": options.version})
    terminal.next(f"bucle model history {name}")


def _requests_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default=None, help="whose (default: every model's)")


def _requests(options: Namespace, terminal: Terminal) -> None:
    """Promotions that somebody asked for and that still lack something."""
    from bucle import loop

    with terminal.project() as project:
        found = loop.promotions(project, options.model)
    rows = [
        {"version": f"{one.model}@{one.version}", "target": one.target,
         "missing": "; ".join(lack.what for lack in one.missing) or "nothing: repeat the call",
         "next": " && ".join(lack.fix for lack in one.missing)}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("version", "target", "missing", "next"), told=rows)


def _webhooks(options: Namespace, terminal: Terminal) -> None:
    """Who is told of changes, and how far: what arrived, what was given up, why the last attempt failed."""
    from bucle.line import registry

    with terminal.project() as project:
        found, token = list[registry.Webhook](), ""
        while True:
            page = registry.webhooks(project, token=token)
            found += page.items
            token = page.token
            if not token:
                break
        told = registry.deliveries(project)
    rows = [
        {"id": one.id, "name": one.name, "status": one.status, "url": one.url, "signed": one.has_secret,
         "delivered": told[one.id].delivered if one.id in told else 0,
         "dropped": told[one.id].dropped if one.id in told else 0,
         "problem": told[one.id].problem if one.id in told else ""}
        for one in found
    ]  # fmt: skip
    shown = [{"webhook": one, "delivery": told.get(one.id)} for one in found]
    terminal.show(shown, ("id", "name", "status", "url", "signed", "delivered", "dropped", "problem"), told=rows)


def _reproduce(options: Namespace, terminal: Terminal) -> int:
    """`bucle reproduce` of a version."""
    from bucle.doors.cli.reproduce import carry_out

    name, version = model_and_version(options.version)
    options.thing = f"model/{name}@{version}"
    return carry_out(options, terminal)


def _reproduce_arguments(parser: ArgumentParser) -> None:
    from bucle.doors.cli.reproduce import add_how

    _version(parser)
    add_how(parser)


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
    Verb("requests", "promotions that still lack something", _requests, _requests_arguments, "bucle model requests"),
    Verb("retire", "send a version to the archive and name its successor", _retire, _retire_arguments,
         "bucle model retire tumours@1 --successor tumours@2"),
    Verb("copy", "give another project a version", _copy, _copy_arguments, "bucle model copy tumours@1 ../live"),
    Verb("reference", "register a model that lives elsewhere", _reference, _reference_arguments,
         "bucle model reference base huggingface some/model --licence Apache-2.0"),
    Verb("tag", "write a tag on a version or a model", _tag, _tag_arguments, "bucle model tag tumours@1 team ops"),
    Verb("rename", "call a model otherwise", _rename, _rename_arguments, "bucle model rename tumours biopsies"),
    Verb("delete", "take away a version or a model", _delete, _delete_arguments, "bucle model delete tumours@1"),
    Verb("webhooks", "who is told of changes, and how far", _webhooks, example="bucle model webhooks"),
    Verb("history", "who changed what, when, and why", _history, _history_arguments, "bucle model history tumours"),
    COMPARE_VERSIONS,
    Verb("reproduce", "make a version again and compare; exit status 7 when it differs", _reproduce,
         _reproduce_arguments, "bucle model reproduce tumours@1"),
)  # fmt: skip
