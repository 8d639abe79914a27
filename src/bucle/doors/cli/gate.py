"""`bucle gate`: verdicts and their checks."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit
from bucle.doors.cli.references import verdict_of, version_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.gates import Verdict
    from bucle.line.registry import ModelVersion

__all__ = ["VERBS"]


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--subject", default="", metavar="VERSION", help="only about this version, e.g. tumours@1")
    add_limit(parser, 20)


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import gates

    with terminal.project() as project:
        subject = version_of(project, options.subject).ref if options.subject else None
        found = gates.verdicts(project, subject, limit=options.limit)
    rows = [{**_told(one), "refused by": ", ".join(dict.fromkeys(c.gate for c in one.refusals))} for one in found]
    terminal.show(found, ("id", "subject", "against", "passed", "checks", "refused by", "rows", "at"), told=rows)
    terminal.next(f"bucle gate show {found[-1].id}" if found else "bucle gate judge MODEL@VERSION")


def _told(verdict: Verdict) -> dict[str, Any]:
    names = ("id", "subject", "against", "passed", "rows", "at", "actor")
    return {name: getattr(verdict, name) for name in names} | {"checks": len(verdict.checks)}


def _verdict(parser: ArgumentParser) -> None:
    parser.add_argument("verdict", help="its id, or the version it is about, e.g. tumours@1")


def _show(options: Namespace, terminal: Terminal) -> None:
    with terminal.project() as project:
        found = verdict_of(project, options.verdict)
    _print(found, terminal)
    terminal.next(f"bucle gate explain {found.id}")


def _print(found: Verdict, terminal: Terminal) -> None:
    terminal.show(found, told=_told(found))
    columns = ("gate", "metric", "slice", "passed", "value", "low", "high", "threshold", "rows")
    terminal.tell_table(found.checks, columns, title="checks")


def _explain(options: Namespace, terminal: Terminal) -> int:
    """Each check in a sentence, and whether the same gates say the same of the same rows today."""
    from bucle.line import gates

    with terminal.project() as project:
        found = verdict_of(project, options.verdict)
        again = gates.judge_again(project, found.id)
    same = again == found.checks
    told = [
        {"check": f"{'passes' if one.passed else 'REFUSES'}  {one.gate}", "slice": one.slice, "finding": one.detail}
        for one in found.checks
    ]
    terminal.show({"verdict": found, "again": again, "same": same}, told=told)
    terminal.say("Judged again now, the same gates say the same." if same else "Judged again now, they say otherwise.")
    return 0 if same else FOUND


def _judge_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="e.g. tumours@1; made by a pipeline that kept rows apart")
    parser.add_argument(
        "--against", default="", metavar="VERSION", help="compare with it (default: the champion, if any)"
    )


def _judge(options: Namespace, terminal: Terminal) -> None:
    """Let the gates of `[loop.MODEL.gates]` look at a version; one that passes becomes `validated`.

    Raises:
        GateRefused: it does not pass.
        NothingHeldOut: its pipeline kept no rows apart.
    """
    from bucle import loop
    from bucle.line import gates, registry

    with terminal.project() as project:
        challenger = version_of(project, options.version)
        policy = loop.policy_of(project, challenger.model)
        champion = _champion(project, challenger, options.against)
        judges, rows = gates.gates_of(policy.gates), loop.held_out(project, challenger)
        evidence = loop.evidence_on(project, policy, rows, challenger, champion, judges=judges)
        found = gates.judge(
            project, challenger.ref, judges, evidence, digest=challenger.digest,
            against=champion.ref if champion else "",
        )  # fmt: skip
        if found.passed and challenger.stage == "registered":
            registry.transition(
                project, challenger.model, challenger.version, "validated", actor=project.actor,
                reason=f"verdict {found.id}",
            )  # fmt: skip
    if not (terminal.as_json and not found.passed):
        _print(found, terminal)
    gates.demand(found)
    terminal.next(f"bucle deploy roll {policy.endpoint} {challenger.ref.removeprefix('model/')}")


def _champion(project: Project, challenger: ModelVersion, named: str) -> ModelVersion | None:
    """What a version is compared with; None when there is nothing to compare with."""
    from bucle.line import registry

    if named:
        return version_of(project, named)
    found = next((one for one in registry.versions(project, challenger.model) if "champion" in one.aliases), None)
    return found if found is not None and found.version != challenger.version else None


VERBS: tuple[Verb, ...] = (
    Verb("list", "verdicts, oldest first", _list, _list_arguments, "bucle gate list"),
    Verb("show", "a verdict with its checks", _show, _verdict, "bucle gate show tumours@1"),
    Verb("explain", "each check in a sentence, judged again; exit status 7 when it comes out otherwise", _explain,
         _verdict, "bucle gate explain tumours@1"),
    Verb("judge", "let the project's gates look at a version; exit status 5 when they refuse it", _judge,
         _judge_arguments, "bucle gate judge tumours@1"),
)  # fmt: skip
