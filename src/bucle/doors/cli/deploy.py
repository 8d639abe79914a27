"""`bucle deploy`: rollouts: list, roll, shift, promote, roll back; images for elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_reason, port, share, shares
from bucle.doors.cli.references import rollout_of, version_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.ground.core import Environment
    from bucle.ground.project import Project
    from bucle.line.deploy import Rollout

__all__ = ["VERBS"]


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint", nargs="?", default=None, help="whose (default: every endpoint's)")


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import deploy

    with terminal.project() as project:
        found = deploy.rollouts(project, options.endpoint)
    columns = ("id", "endpoint", "model", "champion", "candidate", "state", "share", "started_at", "ended_at", "reason")
    terminal.show(found, columns)
    terminal.next(f"bucle deploy show {found[-1].id}" if found else "bucle deploy roll ENDPOINT MODEL@VERSION")


def _rollout(parser: ArgumentParser) -> None:
    parser.add_argument("rollout", help="its id, or the endpoint for its newest")


def _show(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import deploy, serving

    with terminal.project() as project:
        found = rollout_of(project, options.rollout)
        routes = deploy.routes(project, found.endpoint)
        process = serving.find_process(project.state, found.endpoint)
    terminal.show({"rollout": found, "routes": routes, "process": process}, told=found)
    arms = [*routes.arms, *routes.shadows]
    terminal.tell_table(
        arms, ("name", "model", "version", "share", "package"), title=f"who answers at {routes.endpoint}"
    )
    terminal.say(f"\nprocess: {process.url}" if process else "\nprocess: none runs")
    under_way = found.state == deploy.CANARY
    serve = f"bucle serve {found.endpoint} --detach"
    terminal.next(
        f"bucle deploy promote {found.id}" if under_way else serve if process is None else "bucle deploy list"
    )


def _roll_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint", help="made when it is not there")
    parser.add_argument("version", help="e.g. tumours@2; its stage must be validated or production")
    parser.add_argument(
        "--steps", type=shares, default=None, metavar="A,B", help="the shares planned (default: the loop's)"
    )
    parser.add_argument(
        "--share", type=share, default=None, help="to begin with; 1 takes all at once (default: the first step)"
    )
    add_reason(parser)


def _roll(options: Namespace, terminal: Terminal) -> None:
    """Give a version its first traffic; all of it at once only when it has what the model's policy wants.

    Raises:
        NotYetPromotable: it lacks a verdict or approvals.
    """
    from bucle import loop

    with terminal.project() as project:
        found = version_of(project, options.version)
        steps = options.steps or _planned(project, found.model)
        made = loop.roll(project, options.endpoint, found, steps=steps, share=options.share, reason=options.reason)
        _finish(project, made, terminal)


def _planned(project: Project, model: str) -> tuple[float, ...]:
    """The steps of the model's loop, or what is usual when it has none."""
    from bucle import loop

    has_loop = model in project.config.names("loop")
    return (loop.policy_of(project, model).rollout.steps if has_loop else ()) or (0.05, 0.25, 0.5)


def _shift_arguments(parser: ArgumentParser) -> None:
    _rollout(parser)
    parser.add_argument("share", type=share, help="of the traffic, 0 to 1")
    add_reason(parser)


def _shift(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import deploy

    _change(options, terminal, lambda project, one: deploy.shift(project, one.id, options.share, reason=options.reason))


def _end_arguments(parser: ArgumentParser) -> None:
    _rollout(parser)
    add_reason(parser)


def _promote(options: Namespace, terminal: Terminal) -> None:
    """Give the canary all the traffic, when it has what the model's policy wants.

    Raises:
        NotYetPromotable: it lacks a verdict or approvals; nothing was changed.
    """
    from bucle import loop

    _change(options, terminal, lambda project, one: loop.promote(project, one, reason=options.reason))


def _roll_back(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import deploy

    reason = options.reason or "rolled back by hand"
    _change(options, terminal, lambda project, one: deploy.roll_back(project, one.id, reason=reason))


def _change(options: Namespace, terminal: Terminal, act: Callable[[Project, Rollout], Rollout]) -> None:
    with terminal.project() as project:
        _finish(project, act(project, rollout_of(project, options.rollout)), terminal)


def _finish(project: Project, made: Rollout, terminal: Terminal) -> None:
    """Bring the routes into force on this machine, and say in the registry who is champion now."""
    from bucle import loop
    from bucle.line import deploy

    applied = deploy.apply(project, made.endpoint, deploy.LocalTarget())
    if made.state == "promoted":
        loop.crown(project, made)
    terminal.show({"rollout": made, "applied": applied}, told=made)
    if not applied.answering:
        terminal.next(f"bucle serve {made.endpoint} --detach")
        return
    is_canary = made.state == deploy.CANARY
    terminal.next(f"bucle deploy promote {made.id}" if is_canary else f"bucle predict {made.endpoint} FILE")


def _history_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint")


def _history(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.references import chosen
    from bucle.ground.core import NotFound
    from bucle.line import deploy

    with terminal.project() as project:
        chosen(options.endpoint, deploy.endpoints(project), NotFound, "endpoint", "bucle deploy list")
        ids = {one.ref for one in deploy.rollouts(project, options.endpoint)} | {f"endpoint/{options.endpoint}"}
        found = [event for event in project.ledger.events(kinds=["deploy.*"]) if event.subject in ids]
    rows: list[dict[str, Any]] = [
        {"seq": one.seq, "at": one.at, "actor": one.actor, "event": one.kind.removeprefix("deploy."),
         "subject": one.subject, "share": one.data.get("share"), "reason": one.reason}
        for one in found
    ]  # fmt: skip
    terminal.show(found, told=rows)


def _image_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="e.g. tumours@2")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder, for the build context")
    parser.add_argument("--base", required=True, metavar="IMAGE", help="REPOSITORY[:TAG]@sha256:…, with Python and pip")
    parser.add_argument("--port", type=port, default=8080, help="the TCP port inside the container (default: 8080)")


def _image(options: Namespace, terminal: Terminal) -> None:
    """Write what a container builder needs. Raises: BadBase, FolderTaken, NotPackaged, NotLocked."""
    from bucle.line import deploy

    with terminal.project() as project:
        found = version_of(project, options.version)
        trained = deploy.trained_in(project, found) or _executed_in(project, found.execution)
        made = deploy.write_image(project, found, options.folder, base=options.base, port=options.port, trained=trained)
    told = {
        "version": made.version,
        "folder": str(options.folder),
        "base": made.base,
        "packages": len(made.packages),
        "digest": made.digest,
    }
    terminal.show(made, told=told)
    if made.views:
        terminal.say(f"It joins {', '.join(made.views)} online: mount the project's folder at /project.")
    terminal.next(f"buildah build -t {found.model}:{found.version} {options.folder}")


def _executed_in(project: Project, execution: str) -> Environment | None:
    """What the last step of an execution ran in."""
    from bucle.ground.core import Environment, decode
    from bucle.line import pipelines

    steps = pipelines.step_runs(project, execution) if execution else []
    kept = next((one.environment for one in reversed(steps) if one.environment), "")
    return decode(project.blobs.get(kept), Environment, what="environment") if kept else None


VERBS: tuple[Verb, ...] = (
    Verb("list", "rollouts, oldest first", _list, _list_arguments, "bucle deploy list"),
    Verb("show", "a rollout, and who answers at its endpoint", _show, _rollout, "bucle deploy show tumours"),
    Verb("roll", "give a version its first traffic", _roll, _roll_arguments, "bucle deploy roll tumours tumours@1"),
    Verb("shift", "give the canary another share", _shift, _shift_arguments, "bucle deploy shift tumours 0.5"),
    Verb("promote", "give the canary all traffic", _promote, _end_arguments, "bucle deploy promote tumours"),
    Verb("rollback", "take the canary out of the traffic", _roll_back, _end_arguments,
         "bucle deploy rollback tumours --reason 'too slow'"),
    Verb("image", "write what builds a container image of a version", _image, _image_arguments,
         "bucle deploy image tumours@1 image --base docker.io/library/python:3.11-slim@sha256:…"),
    Verb("history", "all that happened at an endpoint", _history, _history_arguments, "bucle deploy history tumours"),
)  # fmt: skip
