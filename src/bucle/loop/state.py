"""What the engine knows and what it says: State, Cycle, Decision. All values, all on the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from bucle.ground.core import Record

__all__ = ["Cycle", "Decision", "DecisionKind", "Look", "Measurement", "Request", "State"]

DecisionKind = Literal[
    "watch", "hold", "retrain", "propose", "judge", "refuse", "approve", "roll", "look", "shift", "promote", "roll_back"
]


class Decision(Record, frozen=True):
    """One thing the engine wants done. Its id is the same however often it is decided, so it is done once.

    Attributes:
        id: `MODEL/cycle/kind/n`.
        kind: what is to be done.
        cycle: the turn of the loop it belongs to; 0 outside one.
        reason: why, for people.
        version: the candidate it is about, 0 when none.
        share: of traffic, 0 when it does not matter.
        since, until: the window a `watch` looks at.
        commit: the data a `retrain` reads.
        params: what else the pipeline gets.
    """

    id: str
    kind: DecisionKind
    cycle: int
    reason: str
    version: int = 0
    share: float = 0.0
    since: datetime | None = None
    until: datetime | None = None
    commit: str = ""
    params: dict[str, Any] = {}


class Measurement(Record, frozen=True):
    """What monitoring found in a window about the champion.

    Attributes:
        since, until: the window.
        version: the champion then.
        rows: predictions.
        labelled: predictions whose truth is known.
        auc: the champion's area under the ROC curve over the labelled; None with too few.
        live_auc: the same of all that clients were answered, whichever version it was.
        baseline_auc: what it was at the gates.
        psi: feature -> population stability index.
        prediction_psi: the same of the answers.
        error_rate: share of requests that failed.
        p95_ms: 95th percentile of latency.
        shadow_auc: version -> AUC of those that answer in the shadow.
    """

    since: datetime
    until: datetime
    version: int
    rows: int
    labelled: int
    auc: float | None
    baseline_auc: float | None
    psi: dict[str, float]
    prediction_psi: float
    error_rate: float
    p95_ms: float
    live_auc: float | None = None
    shadow_auc: dict[str, float] = {}


class Look(Record, frozen=True):
    """One comparison of the canary with the champion.

    Attributes:
        at: when.
        status: `healthy`, `failing` or `undecided`.
        rows: answers of the canary since the rollout began.
        reasons: what speaks against it, or what is still missing.
    """

    at: datetime
    status: Literal["healthy", "failing", "undecided"]
    rows: int
    reasons: tuple[str, ...] = ()


class Request(Record, frozen=True):
    """Somebody asks for a cycle by hand.

    Attributes:
        id: unique; a repeated request is one request.
        reason: why.
        actor: who.
        version: an existing version to propose; 0 trains a new one.
        params: for the pipeline.
    """

    id: str
    reason: str
    actor: str
    version: int = 0
    params: dict[str, Any] = {}


class Cycle(Record, frozen=True):
    """One turn of the loop.

    Attributes:
        number: from 1.
        trigger: what started it: `quality`, `drift`, `schedule`, `data`, `manual`, …
        reason: in words.
        opened_at: when it began.
        champion: the version serving then, 0 when none.
        phase: where it stands.
        candidate: the version in question, 0 before training.
        digest: of the candidate's package.
        verdict: the gates' verdict, by id.
        failures: the checks that refused it.
        approvals: who said yes.
        rollout: the rollout's id.
        step: which of the policy's steps, from 0.
        step_since: since when.
        looks: every comparison so far.
        outcome: `promoted`, `refused`, `rolled_back`, `failed`; empty while open.
        closed_at: when it ended.
        measurement: what was measured when it began.
    """

    number: int
    trigger: str
    reason: str
    opened_at: datetime
    champion: int = 0
    phase: Literal["training", "judging", "refusing", "approving", "rolling", "closed"] = "training"
    candidate: int = 0
    digest: str = ""
    verdict: str = ""
    failures: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    rollout: str = ""
    step: int = 0
    step_since: datetime | None = None
    looks: tuple[Look, ...] = ()
    outcome: str = ""
    closed_at: datetime | None = None
    measurement: Measurement | None = None


class State(Record, frozen=True):
    """All the engine knows of one model; folded from the ledger and nothing else.

    Attributes:
        model: whose loop this is.
        champion: the version that serves, 0 when none.
        commit: the newest commit of the watched tables.
        fresh: whether it came after the last retraining.
        holdout: blob of the rows the last candidate was judged on.
        awaiting: decided, not yet carried out.
        cycle: the open turn.
        cycles: every closed turn, oldest first.
        requests: asked for by hand, not yet taken up.
        measurement: the newest, until it has been acted upon.
        watched_until: the end of the last window.
        holds: how many looks in a row were over a threshold without a retraining.
        retrained_at: when the policy itself decided to retrain.
        decisions: how many were made, for their ids.
    """

    model: str
    champion: int = 0
    commit: str = ""
    fresh: bool = False
    holdout: str = ""
    awaiting: Decision | None = None
    cycle: Cycle | None = None
    cycles: tuple[Cycle, ...] = ()
    requests: tuple[Request, ...] = ()
    measurement: Measurement | None = None
    watched_until: datetime | None = None
    holds: int = 0
    retrained_at: tuple[datetime, ...] = ()
    decisions: int = 0
