"""Deploy: rollouts to targets. It shifts traffic; whether to, others decide."""

from bucle.line.deploy.errors import (
    BadShare,
    IncompatibleRequest,
    NoSuchRollout,
    NotDeployable,
    RolloutActive,
    RolloutOver,
    SameVersion,
)
from bucle.line.deploy.rollout import (
    CANARY,
    Consent,
    Rollout,
    RolloutState,
    newest_promotion,
    promote,
    roll_back,
    rollout,
    rollouts,
    shift,
    start,
)
from bucle.line.deploy.route import endpoints, read_routes, routes, set_shadows
from bucle.line.deploy.target import Applied, LocalTarget, Target, apply

__all__ = [
    "CANARY",
    "Applied",
    "BadShare",
    "Consent",
    "IncompatibleRequest",
    "LocalTarget",
    "NoSuchRollout",
    "NotDeployable",
    "Rollout",
    "RolloutActive",
    "RolloutOver",
    "RolloutState",
    "SameVersion",
    "Target",
    "apply",
    "endpoints",
    "newest_promotion",
    "promote",
    "read_routes",
    "roll_back",
    "rollout",
    "rollouts",
    "routes",
    "set_shadows",
    "shift",
    "start",
]
