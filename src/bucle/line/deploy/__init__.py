"""Deploy: rollouts to targets, and images for elsewhere. It shifts traffic; whether to, others decide."""

from bucle.line.deploy.errors import (
    BadBase,
    BadShare,
    FolderTaken,
    IncompatibleRequest,
    NoSuchRollout,
    NotDeployable,
    RolloutActive,
    RolloutOver,
    SameVersion,
)
from bucle.line.deploy.image import ImageContext, trained_in, write_image
from bucle.line.deploy.image_file import read_base
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
    "BadBase",
    "BadShare",
    "Consent",
    "FolderTaken",
    "ImageContext",
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
    "read_base",
    "read_routes",
    "roll_back",
    "rollout",
    "rollouts",
    "routes",
    "set_shadows",
    "shift",
    "start",
    "trained_in",
    "write_image",
]
