"""Verdict: what the gates said, kept with all it was said from, so that it can be said again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, decode, digest_of_value, encode, make_ref, suggest
from bucle.ground.ledger import AlreadyDone
from bucle.ground.project import Project
from bucle.line.gates import store
from bucle.line.gates.check import Check, Gate
from bucle.line.gates.errors import GateRefused, NoGates, NoSuchVerdict
from bucle.line.gates.evidence import Evidence, read_evidence
from bucle.line.gates.policy import policy_bytes, read_policy
from bucle.line.gates.tables import DIGESTS, VERDICTS

__all__ = ["Verdict", "demand", "judge", "judge_again", "read_verdicts", "verdict", "verdicts"]


class Verdict(Record, frozen=True):
    """The gates' answer about one thing.

    Attributes:
        id: made from what was judged, by what and on what: judging the same again gives the same verdict.
        subject: the ref judged, e.g. `model/flights@3`.
        against: the ref it was compared with, or empty.
        passed: whether every check passed.
        checks: what each gate found.
        evidence: digest of the rows, kept as a blob.
        policy: digest of the gates with their settings, kept as a blob.
        rows: how many rows were looked at.
        at: when.
        actor: who asked.
        digest: the content the subject had; another content was not judged. Empty when it was not given, as in
            verdicts from before Bucle kept it.
    """

    id: str
    subject: str
    against: str
    passed: bool
    checks: tuple[Check, ...]
    evidence: str
    policy: str
    rows: int
    at: datetime
    actor: str
    digest: str = ""

    @property
    def refusals(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)


def judge(
    project: Project,
    subject: str,
    gates: Sequence[Gate],
    evidence: Evidence,
    *,
    against: str = "",
    digest: str = "",
    key: str | None = None,
    actor: str | None = None,
) -> Verdict:
    """Let every gate look at the evidence and keep what they say. A refusal is an answer, not an error.

    Args:
        subject: the ref judged; `against`: the ref of the champion, when the evidence has one.
        gates: at least one.
        digest: of the subject's content, which the scores come from; without it a policy does not count the verdict.
        key: tells apart two judgements of the same thing on the same rows; usually not needed.
        actor: the project's actor unless given.
    Returns:
        The verdict; the one there is when the very same was judged before.
    Raises:
        NoGates: there is no gate.
        PurposeRefused: the subject was made of tables that may not be used for it.
    Cost: that of the gates; the evidence is kept once.
    """
    if not gates:
        raise NoGates(
            f"There is no gate to judge {subject} by.",
            why="Everything would pass.",
            fix="Give at least one, e.g. gates.MinimumMetric(metric='auc', minimum=0.6).",
        )
    # Polars takes a while to load; who only reads verdicts never needs it.
    from bucle.line import data  # noqa: PLC0415

    data.check_made_of(project, [subject])
    checks = tuple(check for gate in gates for check in gate.judge(evidence))
    kept = {"evidence": project.blobs.put(evidence.content), "policy": project.blobs.put(policy_bytes(gates))}
    made = Verdict(
        id=digest_of_value([subject, against, *kept.values(), key or "", *filter(None, [digest])])[:16],
        subject=subject,
        against=against,
        passed=bool(checks) and all(check.passed for check in checks),
        checks=checks,
        rows=evidence.rows,
        at=project.clock.now(),
        actor=actor or project.actor,
        digest=digest,
        **kept,
    )
    return _keep(project, made)


def verdict(project: Project, id: str) -> Verdict:  # noqa: A002  the noun says whose id
    """One verdict.

    Raises:
        NoSuchVerdict: there is none.
    """
    with project.database.reading() as connection:
        row = store.verdict_row(connection, id)
        if row is not None:
            return _verdict_of(row)
        known = [row["id"] for row in store.verdict_rows(connection, None, 200)]
    raise NoSuchVerdict(
        f"There is no verdict {id!r}.", fix=suggest(id, known) or "See the events: bucle gate list", at=id
    )


def verdicts(project: Project, subject: str | None = None, *, limit: int | None = None) -> list[Verdict]:
    """The verdicts on a subject, or on all, oldest first; the newest `limit` of them."""
    with project.database.reading() as connection:
        return read_verdicts(connection, subject, limit=limit)


def read_verdicts(connection: Connection, subject: str | None = None, *, limit: int | None = None) -> list[Verdict]:
    """As `verdicts`, on a connection that is open."""
    return [_verdict_of(row) for row in store.verdict_rows(connection, subject, limit)]


def judge_again(project: Project, id: str) -> tuple[Check, ...]:  # noqa: A002  the noun says whose id
    """What the same gates find on the same rows now; equal to the verdict's checks if it was honest.

    Raises:
        NoSuchVerdict: there is none.
        BlobMissing, BlobCorrupt: its evidence or its policy is gone.
    """
    kept = verdict(project, id)
    evidence = read_evidence(project.blobs.get(kept.evidence))
    found = [check for gate in read_policy(project.blobs.get(kept.policy)) for check in gate.judge(evidence)]
    return decode(encode(found), tuple[Check, ...])


def demand(verdict: Verdict) -> Verdict:
    """The verdict itself when it passed.

    Raises:
        GateRefused: it did not; the message says which check and why.
    """
    if verdict.passed:
        return verdict
    first, count = verdict.refusals[0], len(verdict.refusals)
    raise GateRefused(
        f"{verdict.subject} did not pass {count} of {len(verdict.checks)} checks.",
        why=f"{first.gate}: {first.detail}",
        fix=f"See: bucle gate show {verdict.id}",
        at=verdict.subject,
    )


def _keep(project: Project, made: Verdict) -> Verdict:
    # Read back what JSON kept, so that the verdict returned now equals the one read later.
    row = {name: getattr(made, name) for name in Verdict.__struct_fields__} | {"checks": encode(made.checks).decode()}
    try:
        with project.ledger.transaction(
            "gates.judged", subject=made.subject, actor=made.actor, key=f"verdict/{made.id}", data=_summary(made)
        ) as tx:
            tx.insert(VERDICTS, {name: value for name, value in row.items() if name != "digest"})
            if made.digest:
                tx.insert(DIGESTS, {"verdict": made.id, "digest": made.digest})
            ref = make_ref("verdict", made.id)
            tx.edge(made.subject, ref, "judged")
            tx.edge(make_ref("blob", made.evidence), ref, "evidence")
            tx.edge(make_ref("blob", made.policy), ref, "policy")
            if made.against:
                tx.edge(made.against, ref, "compared")
    except AlreadyDone:
        return verdict(project, made.id)
    return _verdict_of(row)


def _summary(made: Verdict) -> dict[str, Any]:
    return {
        "verdict": made.id,
        "passed": made.passed,
        "against": made.against,
        "digest": made.digest,
        "rows": made.rows,
        "evidence": made.evidence,
        "policy": made.policy,
        "refused": [f"{check.gate} {check.metric} {check.slice}".strip() for check in made.refusals],
    }


def _verdict_of(row: dict[str, Any]) -> Verdict:
    return Verdict(**{**row, "checks": decode(row["checks"], tuple[Check, ...], what="verdict")})
