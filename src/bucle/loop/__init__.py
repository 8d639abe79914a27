"""The loop: reads signals and evidence, decides, carries out, and can replay it all under another policy."""

from bucle.loop.actions import actions_for
from bucle.loop.adoption import Adopted, adopt_model
from bucle.loop.audit import Audit, audit
from bucle.loop.controller import Action, Controller, Outcome, cycles, read_state, request
from bucle.loop.cuts import NoSuchColumn
from bucle.loop.decompose import Contribution, decompose
from bucle.loop.difference import Cause, VersionDifference, compare_versions
from bucle.loop.engine import decide, fold, fold_all
from bucle.loop.errors import BadPolicy, GuardedAlias, LoopBusy, NoSuchLoop, NotYetPromotable
from bucle.loop.heldout import NothingHeldOut, evidence_on, held_out
from bucle.loop.lack import Lack, guard_of, lacks
from bucle.loop.place import PipelinesSection, executor_of, interpreter_for
from bucle.loop.policy import Labels, Policy, RetrainPolicy, RolloutPolicy, policy_of
from bucle.loop.promotion import (
    Promotion,
    delete_model,
    delete_version,
    move,
    promotions,
    rename_model,
    retire,
    set_alias,
    transition,
)
from bucle.loop.readiness import Finding, Readiness, RubricItem, Score, attest, check
from bucle.loop.recipe import (
    Ingredient,
    Rebuilt,
    Recipe,
    rebuild,
    recipe_of_execution,
    recipe_of_run,
    recipe_of_version,
)
from bucle.loop.recipe_difference import RecipeDifference, StepDifference
from bucle.loop.replay import Replay, ReplayedWindow, replay
from bucle.loop.state import Cycle, Decision, Look, Measurement, Request, State
from bucle.loop.stretches import FeatureShift, Stretch, StretchDifference, TooFewLabels, compare_stretches
from bucle.loop.takeover import crown, promote, roll
from bucle.loop.trace import Answer, NoSuchPrediction, Proof, Trace, reproduce, trace
from bucle.loop.upkeep import keep_up, upkeep

__all__ = [
    "Action",
    "Adopted",
    "Answer",
    "Audit",
    "BadPolicy",
    "Cause",
    "Contribution",
    "Controller",
    "Cycle",
    "Decision",
    "FeatureShift",
    "Finding",
    "GuardedAlias",
    "Ingredient",
    "Labels",
    "Lack",
    "Look",
    "LoopBusy",
    "Measurement",
    "NoSuchColumn",
    "NoSuchLoop",
    "NoSuchPrediction",
    "NotYetPromotable",
    "NothingHeldOut",
    "Outcome",
    "PipelinesSection",
    "Policy",
    "Promotion",
    "Proof",
    "Readiness",
    "Rebuilt",
    "Recipe",
    "RecipeDifference",
    "Replay",
    "ReplayedWindow",
    "Request",
    "RetrainPolicy",
    "RolloutPolicy",
    "RubricItem",
    "Score",
    "State",
    "StepDifference",
    "Stretch",
    "StretchDifference",
    "TooFewLabels",
    "Trace",
    "VersionDifference",
    "actions_for",
    "adopt_model",
    "attest",
    "audit",
    "check",
    "compare_stretches",
    "compare_versions",
    "crown",
    "cycles",
    "decide",
    "decompose",
    "delete_model",
    "delete_version",
    "evidence_on",
    "executor_of",
    "fold",
    "fold_all",
    "guard_of",
    "held_out",
    "interpreter_for",
    "keep_up",
    "lacks",
    "move",
    "policy_of",
    "promote",
    "promotions",
    "read_state",
    "rebuild",
    "recipe_of_execution",
    "recipe_of_run",
    "recipe_of_version",
    "rename_model",
    "replay",
    "reproduce",
    "request",
    "retire",
    "roll",
    "set_alias",
    "trace",
    "transition",
    "upkeep",
]
