"""`bucle trace`: why a prediction came out as it did."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle import loop

__all__ = ["VERBS"]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("prediction", help="its id: the request's, a slash, the number of the row")
    parser.add_argument("--reproduce", action="store_true", help="compute it all again and compare bit for bit")


def _run(options: Namespace, terminal: Terminal) -> int:
    from bucle import loop

    with terminal.project() as project:
        found = loop.trace(project, options.prediction)
        proof = loop.reproduce(project, found) if options.reproduce else None
    terminal.show({"trace": found, "proof": proof}, told=_told(found))
    _tell(found, terminal)
    if proof is None:
        terminal.next(f"bucle trace {options.prediction} --reproduce")
        return 0
    terminal.tell_table(_steps(proof), title="computed again")
    terminal.say("Bit for bit the same." if proof.is_identical else "It came out otherwise.")
    terminal.next("bucle audit verify")
    return 0 if proof.is_identical else FOUND


def _told(found: loop.Trace) -> dict[str, Any]:
    """The chain in words, from the answer to its sources."""
    answer, version, run, commit = found.answer, found.version, found.run, found.commit
    passed = [f"{one.id} {'passed' if one.passed else 'refused'}" for one in found.verdicts]
    return {
        "prediction": f"{answer.id}  {answer.entity}".rstrip(),
        "answer": f"{answer.score:.6g} as {answer.arm} of {answer.endpoint}, at {answer.at}",
        "version": f"{version.ref}  {version.stage}  package {version.digest[:12]}",
        "run": f"{run.id}  code {run.code_commit[:12] or 'outside git'}  seed {run.seed}" if run else "",
        "steps": ", ".join(f"{step.step} {step.status}" for step in found.steps),
        "data": f"{commit.id[:12]}  {commit.message}" if commit else "",
        "features": ", ".join(found.package.features),
        "gates": "; ".join(passed),
        "approvals": ", ".join(one.principal for one in found.approvals),
        "rollout": f"{found.rollout.id}  {found.rollout.state}: {found.rollout.reason}" if found.rollout else "",
    }


def _tell(found: loop.Trace, terminal: Terminal) -> None:
    answer = found.answer
    sides = (("asked", answer.request), ("feature", answer.features), ("answered", answer.outputs))
    rows = [{"what": what, "name": name, "value": value} for what, given in sides for name, value in given.items()]
    terminal.tell_table(rows, title="what went in and out")


def _steps(proof: loop.Proof) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"what": f"step {name}", "identical": same} for name, same in proof.steps.items()]
    rows += [{"what": name, "identical": getattr(proof, name)} for name in ("package", "features", "answer")]
    return [*rows, {"what": "score then and now", "identical": f"{proof.recorded} {proof.repeated}"}]


VERBS: tuple[Verb, ...] = (
    Verb("", "why a prediction came out as it did; exit status 7 when it is not reproduced", _run, _arguments,
         "bucle trace 4f1c0/0 --reproduce"),
)  # fmt: skip
