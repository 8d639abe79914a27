"""`bucle loop`: state, history, turn it, ask for a cycle."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_params, count, values
from bucle.doors.cli.errors import unforeseen
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle import loop
    from bucle.ground.project import Project

__all__ = ["VERBS", "turn"]


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop

    with terminal.project() as project:
        policies = [loop.policy_of(project, name) for name in project.config.names("loop")]
        found = [loop.read_state(project, policy) for policy in policies]
    rows = [
        {"model": state.model, "endpoint": policy.endpoint, "champion": state.champion or None,
         "cycles": len(loop.cycles(state)), "phase": state.cycle.phase if state.cycle else "at rest",
         "watched_until": state.watched_until}
        for policy, state in zip(policies, found, strict=True)
    ]  # fmt: skip
    terminal.show(found, ("model", "endpoint", "champion", "cycles", "phase", "watched_until"), told=rows)
    terminal.next(f"bucle loop show {rows[0]['model']}" if rows else "write a table [loop.MODEL] in bucle.toml")


def _model(parser: ArgumentParser) -> None:
    parser.add_argument("model")


def _show(options: Namespace, terminal: Terminal) -> None:
    """Where the loop stands, by which policy, and what it would do now."""
    from bucle import loop

    with terminal.project() as project:
        policy = loop.policy_of(project, options.model)
        state = loop.read_state(project, policy)
        coming = loop.decide(policy, state, project.clock.now())
    told = {
        "model": state.model, "champion": state.champion or None, "commit": state.commit,
        "cycles": len(loop.cycles(state)), "phase": state.cycle.phase if state.cycle else "at rest",
        "requests": len(state.requests), "watched_until": state.watched_until, "policy": policy.principal,
        "would now": f"{coming.kind}: {coming.reason}" if coming else "nothing",
    }  # fmt: skip
    terminal.show({"state": state, "policy": policy, "next": coming}, told=told)
    terminal.next("bucle loop run --once" if coming else f"bucle loop history {state.model}")


def _history(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop

    with terminal.project() as project:
        found = loop.cycles(loop.read_state(project, loop.policy_of(project, options.model)))
    rows = [
        {"cycle": one.number, "trigger": one.trigger, "opened_at": one.opened_at, "champion": one.champion or None,
         "candidate": one.candidate or None, "outcome": one.outcome or one.phase, "looks": len(one.looks),
         "why": "; ".join(one.failures) or one.reason}
        for one in found
    ]  # fmt: skip
    terminal.show(found, told=rows)
    terminal.next(
        f"bucle loop cycle {options.model} {found[-1].number}" if found else f"bucle loop request {options.model}"
    )


def _cycle_arguments(parser: ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("number", type=count, help="from 1")


def _cycle(options: Namespace, terminal: Terminal) -> None:
    """A turn of the loop with every decision in it."""
    from bucle import loop
    from bucle.ground.core import NotFound

    with terminal.project() as project:
        known = loop.cycles(loop.read_state(project, loop.policy_of(project, options.model)))
        made = project.ledger.events(kinds=["loop.decided"], subject=f"loop/{options.model}")
    found = next((one for one in known if one.number == options.number), None)
    if found is None:
        raise NotFound(
            f"The loop of {options.model!r} has no cycle {options.number}.",
            why=f"It has had {len(known)}.",
            fix=f"bucle loop history {options.model}",
        )
    mine = [event for event in made if event.data["cycle"] == options.number]
    rows = [
        {"at": one.at, "decision": one.data["kind"], "share": one.data["share"] or None, "why": one.reason}
        for one in mine
    ]
    terminal.show({"cycle": found, "decisions": mine}, told={**_plain(found)})
    terminal.tell_table(rows, title="decisions")
    about = f"{options.model}@{found.candidate}"
    terminal.next(f"bucle gate explain {about}" if found.verdict else f"bucle loop history {options.model}")


def _plain(found: loop.Cycle) -> dict[str, Any]:
    names = (
        "number",
        "trigger",
        "reason",
        "opened_at",
        "closed_at",
        "champion",
        "candidate",
        "phase",
        "outcome",
        "verdict",
    )
    told = {name: getattr(found, name) for name in names}
    return {
        **told,
        "rollout": found.rollout,
        "approvals": ", ".join(found.approvals),
        "failures": "; ".join(found.failures),
    }


def _request_arguments(parser: ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--reason", default="asked for by hand", metavar="TEXT", help="why, for the ledger")
    parser.add_argument(
        "--version", type=count, default=0, metavar="N", help="take up this version; else a new one is trained"
    )
    parser.add_argument("--id", default="", help="the same id again is the same request")
    add_params(parser)


def _request(options: Namespace, terminal: Terminal) -> None:
    import uuid

    from bucle import loop
    from bucle.line import pipelines, registry

    with terminal.project() as project:
        policy = loop.policy_of(project, options.model)
        if options.version:
            registry.version(project, options.model, options.version)
        pipeline = pipelines.pipelines_of(project).get(policy.pipeline)
        hints = pipeline.interface.hints if pipeline else {}
        params = values(options.params, texts={name for name, hint in hints.items() if hint is str})
        asked = loop.Request(
            id=options.id or uuid.uuid4().hex[:12], reason=options.reason, actor=project.actor, version=options.version,
            params=params,
        )  # fmt: skip
        loop.request(project, options.model, asked)
    terminal.show(asked)
    terminal.next("bucle loop run --once")


def _run_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="whose loops (default: every one)")
    parser.add_argument("--once", action="store_true", help="do what there is to do now, and end")
    parser.add_argument("--every", type=count, default=5, metavar="SECONDS", help="look so often (default: 5)")


def _run(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop

    with terminal.project() as project:
        names = options.models or project.config.names("loop")
        policies = [loop.policy_of(project, name) for name in names]
        if options.once:
            _once(project, policies, terminal)
        else:
            _until_stopped(project, policies, options.every, terminal)


def _once(project: Project, policies: list[loop.Policy], terminal: Terminal) -> None:
    done: list[dict[str, Any]] = []
    for policy in policies:
        with _controller(project, policy, terminal) as controller:
            for decision, outcome in controller.tick():
                done.append({"model": policy.model, "decision": decision, "outcome": outcome})
    rows = [{"model": one["model"], "decision": one["decision"].kind, "why": one["decision"].reason} for one in done]
    terminal.show(done, told=rows)
    first = policies[0].model if policies else "MODEL"
    terminal.next(f"bucle loop history {first}" if done else f"bucle loop request {first}")


def _until_stopped(project: Project, policies: list[loop.Policy], every: int, terminal: Terminal) -> None:
    """One thread a loop, until Ctrl-C or SIGTERM; what is under way is finished first."""
    import signal

    from bucle import loop

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threads = [
        threading.Thread(target=turn, args=(project, policy, stop, every, terminal), name=f"loop/{policy.model}")
        for policy in policies
    ]
    threads.append(threading.Thread(target=loop.keep_up, args=(project, stop), name="upkeep"))
    terminal.say(f"turning: {', '.join(policy.model for policy in policies) or 'no loop'}; Ctrl-C ends it")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    terminal.show({"turned": [policy.model for policy in policies]})


def turn(project: Project, policy: loop.Policy, stop: threading.Event, every_s: float, terminal: Terminal) -> None:
    """Turn a loop until told to stop. What goes wrong is said once and tried again; another's lease is waited for."""
    said = ""
    while not stop.is_set():
        try:
            with _controller(project, policy, terminal) as controller:
                while not stop.is_set():
                    controller.tick()
                    said = ""
                    stop.wait(every_s)
        except Exception as error:  # a worker's loop: whatever it is, the next look may go better
            if str(error) != said:
                terminal.warn(unforeseen(error))
            said = str(error)
            stop.wait(every_s)


def _controller(project: Project, policy: loop.Policy, terminal: Terminal) -> loop.Controller:
    from bucle import loop
    from bucle.doors.cli.serve import COMMAND
    from bucle.line import deploy

    act = loop.actions_for(project, policy, deploy.LocalTarget(start=True, command=COMMAND))
    return loop.Controller(project, policy, act, report=_reporter(policy, terminal))


def _reporter(policy: loop.Policy, terminal: Terminal) -> Callable[[loop.Decision, Any], None]:
    def report(decision: loop.Decision, outcome: Any) -> None:
        if outcome is None:
            terminal.say(f"  {policy.model}  {decision.kind:<10} {decision.reason}")
        elif outcome.get("failed"):
            terminal.say(f"  {policy.model}  {decision.kind:<10} FAILED: {outcome['failed']}")

    return report


VERBS: tuple[Verb, ...] = (
    Verb("list", "every loop of the project", _list, example="bucle loop list"),
    Verb("show", "where a loop stands, and what it would do now", _show, _model, "bucle loop show tumours"),
    Verb("history", "every turn so far", _history, _model, "bucle loop history tumours"),
    Verb("cycle", "one turn with its decisions", _cycle, _cycle_arguments, "bucle loop cycle tumours 1"),
    Verb("request", "ask for a turn by hand", _request, _request_arguments,
         "bucle loop request tumours --reason 'new lab'"),
    Verb("run", "turn the loops until Ctrl-C", _run, _run_arguments, "bucle loop run --once"),
)  # fmt: skip
