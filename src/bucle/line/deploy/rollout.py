"""Rollout: one version on its way to an endpoint's traffic. It shifts traffic; whether to, others decide.

          start            shift …           promote
    (none) ───▶ canary ───▶ canary ────────▶ promoted
                  └──────────┴── roll_back ─▶ rolled_back

Each verb is one event, and may be given again: a rollout that is where the verb leads stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy.engine import Connection

from bucle.ground.core import Record, check_name, decode, digest_of_value, encode, make_ref, short
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.deploy import store
from bucle.line.deploy.check import check_request, check_stage, checked_share
from bucle.line.deploy.errors import (
    BadShare,
    NoSuchRollout,
    RolloutActive,
    RolloutOver,
    SameVersion,
)
from bucle.line.deploy.route import Unchanged, arm_of, put_next, routes_in
from bucle.line.deploy.tables import ROLLOUTS
from bucle.line.registry import ModelVersion
from bucle.line.serving import CHAMPION, Arm, Routes

__all__ = [
    "CANARY",
    "Consent",
    "Rollout",
    "RolloutState",
    "newest_promotion",
    "promote",
    "roll_back",
    "rollout",
    "rollouts",
    "shift",
    "start",
]

CANARY = "canary"
"""The name of the candidate's arm."""

RolloutState = Literal["canary", "promoted", "rolled_back"]

Consent = Callable[[Connection, ModelVersion], None]
"""Asked within the transaction that gives a version all the traffic; it says no by raising an error."""


class Rollout(Record, frozen=True):
    """One version's way into an endpoint.

    Attributes:
        id: its name; also the salt that draws who sees the canary.
        endpoint: where to.
        model: of the candidate.
        champion: the version that answered before, None for the endpoint's first.
        candidate: the version on its way.
        steps: the shares it is to go through.
        share: of the requests it has now, 0 to 1.
        state: `canary`, `promoted` or `rolled_back`.
        started_at: when it began.
        ended_at: when it was promoted or rolled back.
        reason: why it began, or why it ended.
        generation: of the routes its start made.
    """

    id: str
    endpoint: str
    model: str
    champion: int | None
    candidate: int
    steps: tuple[float, ...]
    share: float
    state: RolloutState
    started_at: datetime
    ended_at: datetime | None
    reason: str
    generation: int

    @property
    def ref(self) -> str:
        """What it is called on the ledger."""
        return make_ref("rollout", self.id)


def start(
    project: Project,
    endpoint: str,
    model: str,
    version: int | str,
    *,
    steps: Sequence[float] = (0.05, 0.25, 0.5),
    share: float | None = None,
    actor: str | None = None,
    reason: str = "",
    key: str | None = None,
    consent: Consent | None = None,
) -> Rollout:
    """Give a version its first traffic.

    Args:
        endpoint: the endpoint; its first version is promoted at once, with all the traffic.
        version: number or alias; its stage must be `validated` or `production`.
        steps: the shares planned, rising, each > 0 and <= 1.
        share: to begin with; the first step unless given; 1 promotes at once.
        actor: who does it; the project's actor unless given.
        reason: why.
        key: an idempotency key; with it, a second call returns the rollout of the first.
        consent: is asked when the version gets all the traffic at once.
    Raises:
        NotDeployable: its stage does not allow it.
        RolloutActive: another rollout is under way.
        SameVersion: it is the champion already.
        IncompatibleRequest: it wants columns the endpoint's clients do not send.
        BadShare: the shares make no sense.
    """
    check_name(endpoint, "endpoint")
    done = None if key is None else project.ledger.find(key)
    if done is not None:
        return rollout(project, done.data["rollout"])
    first = checked_share(steps, share)
    who = actor or project.actor
    try:
        with project.ledger.transaction(
            "deploy.rollout_started", subject=make_ref("endpoint", endpoint), actor=who, reason=reason, key=key
        ) as tx:
            candidate = registry.read_version(tx.connection, model, version)
            made = _begin(project, tx, endpoint, candidate, steps=tuple(steps), share=first, reason=reason)
            if consent is not None and made.state == "promoted":
                consent(tx.connection, candidate)
            tx.data.update(_told(made))
    except AlreadyDone:
        return start(project, endpoint, model, version, steps=steps, share=share, key=key)
    return rollout(project, made.id)


def shift(
    project: Project,
    rollout_id: str,
    share: float,
    *,
    actor: str | None = None,
    reason: str = "",
    key: str | None = None,
) -> Rollout:
    """Give the candidate another share of the traffic. Who saw it goes on seeing it while the share grows.

    Args:
        share: 0 to 1.
    Raises:
        NoSuchRollout: there is no such rollout.
        RolloutOver: it was promoted or rolled back.
        BadShare: the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise BadShare(f"A share of {share} is not between 0 and 1.", fix="E.g. 0.25 for a quarter.")

    def make(tx: Transaction, now: Rollout) -> None:
        if now.state != "canary":
            raise _over(now, "shifted")
        if now.share == share:
            raise Unchanged
        routes = routes_in(tx, now.endpoint)
        arms = tuple(msgspec.structs.replace(a, share=share if a.name == CANARY else 1 - share) for a in routes.arms)
        put_next(tx, routes, arms=arms)
        _change(tx, now, share=share)

    return _alter(project, rollout_id, "deploy.rollout_shifted", make, actor=actor, reason=reason, key=key)


def promote(
    project: Project,
    rollout_id: str,
    *,
    actor: str | None = None,
    reason: str = "",
    key: str | None = None,
    consent: Consent | None = None,
) -> Rollout:
    """Make the candidate the champion, with all the traffic.

    Args:
        consent: is asked before the traffic moves.
    Raises:
        NoSuchRollout: there is no such rollout.
        RolloutOver: it was rolled back.
        NotDeployable: its stage changed meanwhile.
    """

    def make(tx: Transaction, now: Rollout) -> None:
        if now.state == "promoted":
            raise Unchanged
        if now.state != "canary":
            raise _over(now, "promoted")
        candidate = registry.read_version(tx.connection, now.model, now.candidate)
        check_stage(candidate)
        if consent is not None:
            consent(tx.connection, candidate)
        put_next(tx, routes_in(tx, now.endpoint), arms=(arm_of(CHAMPION, candidate, 1.0),))
        _change(tx, now, share=1.0, state="promoted", ended_at=project.clock.now(), reason=reason)
        tx.edge(candidate.ref, make_ref("endpoint", now.endpoint), "serves")

    return _alter(project, rollout_id, "deploy.rollout_promoted", make, actor=actor, reason=reason, key=key)


def roll_back(
    project: Project, rollout_id: str, *, actor: str | None = None, reason: str, key: str | None = None
) -> Rollout:
    """Take the candidate out of the traffic; the champion gets its share back.

    Raises:
        NoSuchRollout: there is no such rollout.
        RolloutOver: it was promoted; start one for the version to go back to.
    """

    def make(tx: Transaction, now: Rollout) -> None:
        if now.state == "rolled_back":
            raise Unchanged
        if now.state != "canary":
            raise _over(now, "rolled back")
        routes = routes_in(tx, now.endpoint)
        put_next(tx, routes, arms=(msgspec.structs.replace(routes.champion, share=1.0),))
        _change(tx, now, share=0.0, state="rolled_back", ended_at=project.clock.now(), reason=reason)

    return _alter(project, rollout_id, "deploy.rollout_rolled_back", make, actor=actor, reason=reason, key=key)


def rollout(project: Project, rollout_id: str) -> Rollout:
    """One rollout.

    Raises:
        NoSuchRollout: there is none.
    """
    with project.database.reading() as connection:
        row = store.rollout_row(connection, rollout_id)
    if row is None:
        raise _no_rollout(rollout_id)
    return _rollout_of(row)


def rollouts(project: Project, endpoint: str | None = None) -> list[Rollout]:
    """The rollouts of an endpoint, or of all, oldest first."""
    with project.database.reading() as connection:
        return [_rollout_of(row) for row in store.rollout_rows(connection, endpoint)]


def newest_promotion(connection: Connection, model: str) -> str | None:
    """The id of the rollout that promoted a version of this model last, at whatever endpoint."""
    return store.newest_promotion(connection, model)


def _begin(
    project: Project,
    tx: Transaction,
    endpoint: str,
    candidate: ModelVersion,
    *,
    steps: tuple[float, ...],
    share: float,
    reason: str,
) -> Rollout:
    check_stage(candidate)
    active = store.active_rollout(tx.connection, endpoint)
    if active is not None:
        raise RolloutActive(
            f"Endpoint {endpoint!r} has the rollout {active} under way.",
            why="Two at once could not be told apart in what follows.",
            fix=f"End it first: bucle deploy promote {active}, or bucle deploy rollback {active}",
        )
    now = store.find_routes(tx.connection, endpoint)
    champion = None if now is None else now.champion
    if champion is not None and (champion.model, champion.version) == (candidate.model, candidate.version):
        raise SameVersion(f"{candidate.ref} is the champion of {endpoint!r} already.", fix="Choose another version.")
    at_once = champion is None or share == 1.0
    if champion is not None and not at_once:
        check_request(project, champion, candidate)
    generation = 1 if now is None else now.generation + 1
    started = project.clock.now()
    made = Rollout(
        id=short(digest_of_value([endpoint, candidate.model, candidate.version, generation])),
        endpoint=endpoint,
        model=candidate.model,
        champion=None if champion is None else champion.version,
        candidate=candidate.version,
        steps=steps,
        share=1.0 if at_once else share,
        state="promoted" if at_once else "canary",
        started_at=started,
        ended_at=started if at_once else None,
        reason=reason,
        generation=generation,
    )
    _write(tx, made, candidate, champion, () if now is None else now.shadows)
    return made


def _write(
    tx: Transaction, made: Rollout, candidate: ModelVersion, champion: Arm | None, shadows: tuple[Arm, ...]
) -> None:
    """The first rows of a rollout: its own and the routes it makes."""
    if made.state == "promoted" or champion is None:
        arms: tuple[Arm, ...] = (arm_of(CHAMPION, candidate, 1.0),)
        tx.edge(candidate.ref, make_ref("endpoint", made.endpoint), "serves")
    else:
        rest = msgspec.structs.replace(champion, share=1 - made.share)
        arms = (rest, arm_of(CANARY, candidate, made.share))
    store.put_routes(
        tx,
        Routes(endpoint=made.endpoint, generation=made.generation, salt=made.id, arms=arms, shadows=shadows),
    )
    tx.insert(ROLLOUTS, {**msgspec.structs.asdict(made), "steps": encode(made.steps).decode()})
    tx.edge(candidate.ref, made.ref, "rolled_out")


def _alter(
    project: Project,
    rollout_id: str,
    kind: str,
    make: Callable[[Transaction, Rollout], None],
    *,
    actor: str | None,
    reason: str,
    key: str | None,
) -> Rollout:
    """Change one rollout in a transaction. What was done before, or changes nothing, makes no event."""
    known = rollout(project, rollout_id)
    try:
        with project.ledger.transaction(
            kind, subject=make_ref("endpoint", known.endpoint), actor=actor or project.actor, reason=reason, key=key
        ) as tx:
            row = store.rollout_row(tx.connection, rollout_id)
            if row is None:
                raise _no_rollout(rollout_id)
            make(tx, _rollout_of(row))
    except (Unchanged, AlreadyDone):
        pass
    return rollout(project, rollout_id)


def _change(tx: Transaction, now: Rollout, **changes: Any) -> None:
    tx.update(ROLLOUTS, {"id": now.id}, changes)
    tx.data.update(_told(msgspec.structs.replace(now, **changes)))


def _told(made: Rollout) -> dict[str, Any]:
    """What an event says of a rollout."""
    return {
        "rollout": made.id,
        "endpoint": made.endpoint,
        "model": made.model,
        "champion": made.champion,
        "candidate": made.candidate,
        "share": made.share,
        "state": made.state,
    }


def _rollout_of(row: Any) -> Rollout:
    return Rollout(**{**row._mapping, "steps": tuple(decode(row.steps, list[float], what="rollout"))})


def _over(now: Rollout, wanted: str) -> RolloutOver:
    return RolloutOver(
        f"Rollout {now.id} was {now.state.replace('_', ' ')} and cannot be {wanted}.",
        why="A rollout ends once.",
        fix=f"Start another: bucle deploy roll {now.endpoint} {now.model}@VERSION",
    )


def _no_rollout(rollout_id: str) -> NoSuchRollout:
    return NoSuchRollout(f"There is no rollout {rollout_id[:80]!r}.", fix="List them: bucle deploy list")
