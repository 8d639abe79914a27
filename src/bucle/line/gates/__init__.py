"""Judgements: pure functions over evidence, and the verdicts they leave."""

from bucle.line.gates.calibration import Calibration
from bucle.line.gates.champion import ChampionChallenger
from bucle.line.gates.check import Check, Gate
from bucle.line.gates.comparison import Comparison, Estimate, compare, estimate, holm
from bucle.line.gates.delong import DeLong, delong
from bucle.line.gates.errors import BadEvidence, BadGate, GateRefused, NoGates, NoSuchVerdict
from bucle.line.gates.evidence import Evidence, read_evidence
from bucle.line.gates.metric import (
    HIGHER_IS_BETTER,
    Metric,
    Reliability,
    accuracy,
    auc,
    brier,
    debiased_ece,
    ece,
    log_loss,
    measure,
    reliability,
    row_losses,
)
from bucle.line.gates.minimum import MinimumMetric
from bucle.line.gates.policy import GATES, gates_of, policy_bytes
from bucle.line.gates.slices import Slices, masks_of
from bucle.line.gates.support import Support
from bucle.line.gates.verdict import Verdict, demand, judge, judge_again, read_verdicts, verdict, verdicts

__all__ = [
    "GATES",
    "HIGHER_IS_BETTER",
    "BadEvidence",
    "BadGate",
    "Calibration",
    "ChampionChallenger",
    "Check",
    "Comparison",
    "DeLong",
    "Estimate",
    "Evidence",
    "Gate",
    "GateRefused",
    "Metric",
    "MinimumMetric",
    "NoGates",
    "NoSuchVerdict",
    "Reliability",
    "Slices",
    "Support",
    "Verdict",
    "accuracy",
    "auc",
    "brier",
    "compare",
    "debiased_ece",
    "delong",
    "demand",
    "ece",
    "estimate",
    "gates_of",
    "holm",
    "judge",
    "judge_again",
    "log_loss",
    "masks_of",
    "measure",
    "policy_bytes",
    "read_evidence",
    "read_verdicts",
    "reliability",
    "row_losses",
    "verdict",
    "verdicts",
]
