"""`bucle run`: run a pipeline or an MLflow Project, go on with one, look at executions."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit, add_params, values
from bucle.doors.cli.errors import BadUsage, NothingToResume
from bucle.doors.cli.mlproject import add_mlproject, is_mlproject, run_mlproject
from bucle.doors.cli.references import execution_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.pipelines import Execution, Executor, StepRun

__all__ = ["VERBS", "params_of"]

NEWEST = "newest"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "pipeline",
        nargs="?",
        default="",
        help="which; its `commit` is the head of main unless given; or a folder with an MLproject file",
    )
    add_params(parser)
    parser.add_argument("--key", default=None, help="the same key again is the same execution")
    parser.add_argument(
        "--env", default="", metavar="WHAT",
        help="run its steps in the virtual environment of a lock, or of what is named as for `bucle env build`",
    )  # fmt: skip
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--resume",
        nargs="?",
        const=NEWEST,
        default="",
        metavar="ID",
        help="go on with an execution (default: the newest lost)",
    )
    others.add_argument("--list", action="store_true", help="the executions, newest first")
    others.add_argument("--show", default="", metavar="ID", help="an execution with its steps")
    others.add_argument("--log", default="", metavar="STEP", help="what a step printed, e.g. 4f1c….0")
    others.add_argument("--code", default="", metavar="STEP", help="the source a step was run with")
    add_limit(parser, 20)
    add_mlproject(parser)


def _run(options: Namespace, terminal: Terminal) -> None:
    asked = next((name for name in _OTHERS if getattr(options, name)), "")
    if bool(asked) == bool(options.pipeline):
        raise BadUsage("Name a pipeline, or one of --resume, --list, --show.", fix="bucle run PIPELINE")
    if is_mlproject(options):
        run_mlproject(options, terminal)
        return
    act = _OTHERS[asked] if asked else _start
    with terminal.project() as project:
        try:
            act(project, options, terminal)
        except KeyboardInterrupt:
            terminal.next("bucle run --resume")
            raise


def _start(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import pipelines

    params = params_of(project, options.pipeline, options.params)
    made = pipelines.run(
        project,
        options.pipeline,
        params,
        key=options.key,
        report=_reporter(terminal),
        executor=_executor(project, options),
    )
    _ended(made, terminal)


def _executor(project: Project, options: Namespace) -> Executor | None:
    """Where steps run: as asked for, as `[pipelines]` says, or in this Python."""
    from bucle import loop
    from bucle.doors.cli.env import environment_named
    from bucle.line.pipelines import LocalProcesses

    if not options.env:
        return loop.executor_of(project)
    interpreter = loop.interpreter_for(project, environment_named(project, options.env))
    return project.keep(LocalProcesses, lambda: LocalProcesses(interpreter))


def params_of(project: Project, name: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """A pipeline's parameters from the command line, its data pinned.

    A parameter `commit` becomes the id of the commit it names, the head of main unless given; `until` is the instant of
    that commit unless given. So the same command on the same data is the same work.

    Raises:
        NoSuchCommit: there is no such commit, or no data yet.
    """
    from bucle.line import data, pipelines

    known = pipelines.pipelines_of(project)
    if name not in known:
        return values(pairs)  # `pipelines.run` says what is wrong
    interface = known[name].interface
    given = values(pairs, texts={one for one, hint in interface.hints.items() if hint is str})
    if "commit" in interface.params and interface.hints["commit"] is str:
        commit = data.resolve(project, given.get("commit", data.MAIN))
        given["commit"] = commit.id
        if "until" in interface.params:
            given.setdefault("until", commit.at.isoformat())
    return given


def _resume(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import pipelines

    wanted = _newest_lost(project) if options.resume == NEWEST else execution_of(project, options.resume).id
    made = pipelines.resume(project, wanted, report=_reporter(terminal), executor=_executor(project, options))
    _ended(made, terminal)


def _newest_lost(project: Project) -> str:
    from bucle.line import pipelines

    stuck = [one for one in pipelines.executions(project, 50) if one.status in ("lost", "failed")]
    if not stuck:
        raise NothingToResume(
            "No execution failed or was cut short.",
            why="There is nothing to go on with.",
            fix="See them: bucle run --list",
        )
    return stuck[0].id


def _reporter(terminal: Terminal) -> Callable[[StepRun], None]:
    """Says each step's state as it changes."""

    def report(step: StepRun) -> None:
        took = f"  {step.duration_s:.1f} s" if step.status in ("succeeded", "failed") else ""
        again = f"  attempt {step.attempt}" if step.attempt > 1 else ""
        terminal.say(f"  {step.position}  {step.step:<20} {step.status}{took}{again}")

    return report


def _ended(made: Execution, terminal: Terminal) -> None:
    terminal.show(made, told=_brief(made) | {"result": made.result})
    is_candidate = isinstance(made.result, dict) and "package" in made.result
    terminal.next(
        f"bucle model register MODEL --execution {made.id}" if is_candidate else f"bucle run --show {made.id}"
    )


def _brief(made: Execution) -> dict[str, Any]:
    wrong = f"{made.error.kind}: {made.error.message}" if made.error else ""
    took = f"{(made.ended_at - made.started_at).total_seconds():.1f}" if made.ended_at else ""
    params = " ".join(f"{name}={str(value)[:12]}" for name, value in made.params.items())
    told = {"execution": made.id, "pipeline": made.pipeline, "status": made.status, "started_at": made.started_at}
    return {**told, "seconds": took, "params": params, "actor": made.actor, "error": wrong}


def _list(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import pipelines

    found = pipelines.executions(project, options.limit)
    terminal.show(found, told=[_brief(one) for one in found])
    terminal.next(f"bucle run --show {found[0].id}" if found else "bucle run PIPELINE")


def _show(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import pipelines

    made = execution_of(project, options.show)
    steps = pipelines.step_runs(project, made.id)
    terminal.show({"execution": made, "steps": steps}, told=_brief(made) | {"result": made.result})
    columns = ("id", "step", "status", "attempt", "duration_s", "key")
    rows = [{name: getattr(step, name) for name in columns[:-1]} | {"key": step.key[:12]} for step in steps]
    terminal.tell_table(rows, columns, title="steps")
    stuck = made.status in ("failed", "lost")
    terminal.next(f"bucle run --resume {made.id}" if stuck else f"bucle run --log {steps[0].id if steps else 'STEP'}")


def _log(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import pipelines

    said = pipelines.log_of(project, options.log)
    terminal.show({"step": options.log, "log": said}) if terminal.as_json else terminal.line(said.rstrip())


def _code(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import pipelines

    kept = project.blobs.get(pipelines.step_run(project, options.code).code).decode()
    terminal.show({"step": options.code, "code": kept}) if terminal.as_json else terminal.line(kept.rstrip())


_OTHERS: dict[str, Callable[[Project, Namespace, Terminal], None]] = {
    "resume": _resume,
    "list": _list,
    "show": _show,
    "log": _log,
    "code": _code,
}

VERBS: tuple[Verb, ...] = (
    Verb("", "run or resume a pipeline, or run an MLflow Project", _run, _arguments, "bucle run train -p strength=0.5"),
)
