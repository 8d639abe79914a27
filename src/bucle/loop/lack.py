"""Lack: what a version does not have of what its model's policy wants."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.engine import Connection

from bucle.ground import governance
from bucle.ground.core import Record, digest_of, short
from bucle.ground.project import Project
from bucle.line import gates
from bucle.line.gates import Verdict
from bucle.line.registry import ModelVersion
from bucle.loop.policy import Policy, policy_of

__all__ = ["Lack", "guard_of", "lacks", "read_lacks"]


class Lack(Record, frozen=True):
    """One thing a version does not have yet.

    Attributes:
        what: in a sentence.
        fix: the command that gets it.
    """

    what: str
    fix: str


def guard_of(project: Project, model: str) -> Policy | None:
    """The policy that guards a model; None when there is none, or it wants neither gates nor approvals.

    Raises:
        ConfigError: there is one, and it cannot be read.
    """
    if model not in project.config.names("loop"):
        return None
    policy = policy_of(project, model)
    return policy if policy.gates or policy.approvals else None


def lacks(project: Project, policy: Policy, version: ModelVersion) -> tuple[Lack, ...]:
    """What a version does not have of what its policy wants: a verdict of today's gates, approvals of its digest."""
    with project.database.reading() as connection:
        return read_lacks(connection, policy, version)


def read_lacks(connection: Connection, policy: Policy, version: ModelVersion) -> tuple[Lack, ...]:
    """As `lacks`, on a connection that is open."""
    return (*_of_gates(connection, policy, version), *_of_approvals(connection, policy, version))


def _of_gates(connection: Connection, policy: Policy, version: ModelVersion) -> Iterator[Lack]:
    if not policy.gates:
        return
    name = _name(version)
    today = digest_of(gates.policy_bytes(gates.gates_of(policy.gates)))
    found = gates.read_verdicts(connection, version.ref)
    of_these_bytes = [verdict for verdict in found if verdict.digest == version.digest]
    under = [verdict for verdict in of_these_bytes if verdict.policy == today]
    if version.kind != "package":
        yield Lack(
            what=f"no gate can judge it: it is {version.kind}, not an ONNX package",
            fix=f"bucle model register {version.model} FILE.onnx",
        )
    elif not under:
        yield Lack(what=_unjudged(version, found, of_these_bytes), fix=f"bucle gate judge {name}")
    elif not under[-1].passed:
        refusal = under[-1].refusals[0] if under[-1].refusals else None
        what = f"verdict {under[-1].id} refused it" + (f": {refusal.gate}: {refusal.detail}" if refusal else "")
        yield Lack(what=what, fix=f"bucle gate show {under[-1].id}")


def _unjudged(version: ModelVersion, found: list[Verdict], of_these_bytes: list[Verdict]) -> str:
    if of_these_bytes:
        return f"the gates were changed since verdict {of_these_bytes[-1].id}"
    if not found:
        return "no gate has judged it"
    last = found[-1]
    other = f"of the digest {short(last.digest)}" if last.digest else "from before verdicts named what they judged"
    return f"verdict {last.id} is {other}; it has {short(version.digest)}"


def _of_approvals(connection: Connection, policy: Policy, version: ModelVersion) -> Iterator[Lack]:
    said = governance.read_approvals(connection, version.ref, digest=version.digest)
    people = {one.principal for one in said if not one.principal.startswith("policy:")} - {version.author}
    if len(people) < policy.approvals:
        by = f" (by {', '.join(sorted(people))})" if people else ""
        yield Lack(
            what=f"it has {len(people)} of {policy.approvals} approvals{by} of the digest {short(version.digest)}; "
            f"its author {version.author} cannot give one",
            fix=f"bucle model approve {_name(version)} --as NAME",
        )


def _name(version: ModelVersion) -> str:
    return f"{version.model}@{version.version}"
