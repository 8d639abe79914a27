"""Policy: when to retrain, what a version must pass, how traffic moves, when to go back, within what budget.

A policy is a value. It stands in `bucle.toml` under `[loop.MODEL]`; another one can be replayed over recorded history
before it is trusted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bucle.ground.core import Section, digest_of_value, duration_of, short, suggest, to_builtins
from bucle.ground.project import Project
from bucle.loop.errors import BadPolicy, NoSuchLoop

__all__ = ["Labels", "Policy", "RetrainPolicy", "RolloutPolicy", "duration", "last_due", "next_due", "policy_of"]

_TRIGGERS = ("quality", "drift", "prediction_drift", "errors", "schedule", "data")


class Labels(Section, frozen=True):
    """`[loop.MODEL.labels]`: where the truth arrives.

    Attributes:
        table: the table of labels.
        entity: its column that equals the prediction's entity.
        label: its boolean column.
        known_at: its column that says when the label became known.
    """

    table: str
    entity: str
    label: str
    known_at: str


class RetrainPolicy(Section, frozen=True):
    """`[loop.MODEL.retrain]`: what starts a cycle.

    Attributes:
        on: any of `quality`, `drift`, `prediction_drift`, `errors`, `schedule`, `data`; empty means only by hand.
        max_auc_drop: quality: AUC may fall so much below the version's own at its gates, >= 0.
        min_auc: quality: AUC may never be lower than this.
        max_psi: drift: population stability index of any one feature.
        min_drifted: drift: so many features must be over `max_psi`.
        max_prediction_psi: prediction drift: the same of the answers.
        max_error_rate: errors: share of requests that failed.
        every: schedule: at the latest so long after the last retraining.
        consecutive: so many looks in a row must be over a threshold (hysteresis).
        min_interval: no two retrainings closer than this (cool-down).
        budget: at most so many retrainings in any `budget_period`.
        budget_period: see `budget`.
    """

    on: tuple[str, ...] = ("quality", "drift", "schedule")
    max_auc_drop: float = 0.02
    min_auc: float = 0.5
    max_psi: float = 0.2
    min_drifted: int = 1
    max_prediction_psi: float = 0.2
    max_error_rate: float = 0.01
    every: str = "90d"
    consecutive: int = 1
    min_interval: str = "1d"
    budget: int = 12
    budget_period: str = "365d"


class RolloutPolicy(Section, frozen=True):
    """`[loop.MODEL.rollout]`: how a new version takes over.

    Attributes:
        steps: the canary's shares of traffic, rising, each in (0, 1); promotion follows the last.
        hold: how long a step lasts at least.
        look_every: how often the canary is compared with the champion.
        min_rows: the canary's answers needed before a step may end.
        timeout: an undecided canary goes back after so long.
        shadows: versions that answer every request unseen, for comparison.
    """

    steps: tuple[float, ...] = (0.1, 0.5)
    hold: str = "12h"
    look_every: str = "6h"
    min_rows: int = 200
    timeout: str = "14d"
    shadows: tuple[int, ...] = ()


class Policy(Section, frozen=True):
    """`[loop.MODEL]`: how one model is kept true.

    Attributes:
        model: filled in from the table's name.
        pipeline: the pipeline that trains a candidate.
        endpoint: the endpoint that serves it; the model's name unless given.
        tables: tables whose commits count as new data.
        watch_every: the monitoring window: a duration, or `1mo` for calendar months.
        approvals: how many people must approve; with 0 the policy itself approves what passed every gate.
        guarded: aliases that only a version may bear which passed the gates and was approved, see `promotion`.
        labels, retrain, rollout: see there.
        gates: settings of the gates, see `gates.gates_of`.
    """

    pipeline: str
    labels: Labels
    model: str = ""
    endpoint: str = ""
    tables: tuple[str, ...] = ()
    watch_every: str = "1mo"
    approvals: int = 0
    guarded: tuple[str, ...] = ("champion",)
    retrain: RetrainPolicy = RetrainPolicy()
    rollout: RolloutPolicy = RolloutPolicy()
    gates: dict[str, Any] = {}

    @property
    def digest(self) -> str:
        """The name of exactly this policy."""
        return digest_of_value(to_builtins(self))

    @property
    def principal(self) -> str:
        """The policy as one who approves."""
        return f"policy:{self.model}@{short(self.digest)}"


def policy_of(project: Project, model: str) -> Policy:
    """The policy of a model.

    Raises:
        NoSuchLoop: `bucle.toml` has no `[loop.MODEL]`.
        ConfigError: a key or value of it is wrong.
        BadPolicy: a value makes no sense.
    """
    names = project.config.names("loop")
    if model not in names:
        raise NoSuchLoop(
            f"There is no [loop.{model}] in bucle.toml.",
            why=f"Loops exist for: {', '.join(names) or 'none'}.",
            fix=suggest(model, names) or f"Add a table [loop.{model}].",
        )
    policy = project.config.section(f"loop.{model}", Policy)
    return checked(replace_names(policy, model))


def replace_names(policy: Policy, model: str) -> Policy:
    """The policy with its model's name, and the endpoint named after it unless it has one."""
    fields = {name: getattr(policy, name) for name in policy.__struct_fields__}
    return Policy(**{**fields, "model": model, "endpoint": policy.endpoint or model})


def checked(policy: Policy) -> Policy:
    """The policy itself when all its values make sense.

    Raises:
        BadPolicy: one does not; the message names it.
    """
    for trigger in policy.retrain.on:
        if trigger not in _TRIGGERS:
            fix = suggest(trigger, _TRIGGERS) or "Remove it."
            raise BadPolicy(f"[loop.{policy.model}.retrain] on: there is no trigger {trigger!r}.", fix=fix)
    steps = policy.rollout.steps
    if list(steps) != sorted(set(steps)) or not all(0 < share < 1 for share in steps):
        raise BadPolicy(
            f"[loop.{policy.model}.rollout] steps = {list(steps)} do not rise within (0, 1).", fix="E.g. [0.1, 0.5]."
        )
    for text in (policy.retrain.every, policy.retrain.min_interval, policy.retrain.budget_period, policy.rollout.hold,
                 policy.rollout.look_every, policy.rollout.timeout):  # fmt: skip
        duration(text)
    next_due(datetime(2000, 1, 1, tzinfo=UTC), policy.watch_every)
    return policy


def duration(text: str) -> timedelta:
    """`90s`, `15m`, `6h`, `30d` or `2w` as a duration.

    Raises:
        BadPolicy: it is none of these.
    """
    found = duration_of(text)
    if found is None:
        raise BadPolicy(f"{text!r} is no duration.", why="Number and unit: s, m, h, d or w.", fix="E.g. '30d'.")
    return found


def next_due(since: datetime, every: str) -> datetime:
    """When a window that begins at `since` ends.

    Args:
        every: a duration, or `1mo`: up to the start of the next calendar month in UTC.
    Raises:
        BadPolicy: it is neither.
    """
    if every != "1mo":
        return since + duration(every)
    year, month = divmod(since.year * 12 + since.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def last_due(since: datetime, every: str, now: datetime) -> datetime | None:
    """When the last window that is over by `now` ended, counted from `since`; None while the first goes on.

    Windows missed while nobody turned the loop are one long window: what matters is how the world is now.
    """
    if every != "1mo":
        step = duration(every)
        return since + (now - since) // step * step if now - since >= step else None
    due = next_due(since, every)
    if now < due:
        return None
    return max(due, datetime(now.year, now.month, 1, tzinfo=UTC))
