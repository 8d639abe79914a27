"""The loop: reads signals and evidence, decides, carries out, and can replay it all under another policy."""

from bucle.loop.controller import Action, Controller, Outcome, cycles, read_state, request
from bucle.loop.engine import decide, fold, fold_all
from bucle.loop.errors import BadPolicy, LoopBusy, NoSuchLoop
from bucle.loop.policy import Labels, Policy, RetrainPolicy, RolloutPolicy, policy_of
from bucle.loop.state import Cycle, Decision, Look, Measurement, Request, State

__all__ = [
    "Action",
    "BadPolicy",
    "Controller",
    "Cycle",
    "Decision",
    "Labels",
    "Look",
    "LoopBusy",
    "Measurement",
    "NoSuchLoop",
    "Outcome",
    "Policy",
    "Request",
    "RetrainPolicy",
    "RolloutPolicy",
    "State",
    "cycles",
    "decide",
    "fold",
    "fold_all",
    "policy_of",
    "read_state",
    "request",
]
