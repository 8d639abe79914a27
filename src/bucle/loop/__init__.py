"""The loop: reads signals and evidence, decides, carries out, and can replay it all under another policy."""

from bucle.loop.actions import actions_for
from bucle.loop.audit import Audit, audit
from bucle.loop.controller import Action, Controller, Outcome, cycles, read_state, request
from bucle.loop.engine import decide, fold, fold_all
from bucle.loop.errors import BadPolicy, LoopBusy, NoSuchLoop
from bucle.loop.policy import Labels, Policy, RetrainPolicy, RolloutPolicy, policy_of
from bucle.loop.replay import Replay, ReplayedWindow, replay
from bucle.loop.state import Cycle, Decision, Look, Measurement, Request, State
from bucle.loop.trace import Answer, NoSuchPrediction, Proof, Trace, reproduce, trace

__all__ = [
    "Action",
    "Answer",
    "Audit",
    "BadPolicy",
    "Controller",
    "Cycle",
    "Decision",
    "Labels",
    "Look",
    "LoopBusy",
    "Measurement",
    "NoSuchLoop",
    "NoSuchPrediction",
    "Outcome",
    "Policy",
    "Proof",
    "Replay",
    "ReplayedWindow",
    "Request",
    "RetrainPolicy",
    "RolloutPolicy",
    "State",
    "Trace",
    "actions_for",
    "audit",
    "cycles",
    "decide",
    "fold",
    "fold_all",
    "policy_of",
    "read_state",
    "replay",
    "reproduce",
    "request",
    "trace",
]
