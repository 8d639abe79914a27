"""Mergeable summaries of what is served, and the signals they give: drift, quality, errors, latency, volume."""

from bucle.line.monitoring.bins import LATENCY_BINS, SCORE_BINS
from bucle.line.monitoring.distance import Test, chi_square, jensen_shannon, kolmogorov_smirnov, psi
from bucle.line.monitoring.drift import Drift, drift
from bucle.line.monitoring.errors import BadFrame, BadHistogram, FeatureMissing, ProfileMismatch
from bucle.line.monitoring.guard import Guard, guard
from bucle.line.monitoring.profile import FeatureProfile, Profile, profile_of
from bucle.line.monitoring.quality import Quality, auc_of_counts, ece_of_counts, quality, quality_of
from bucle.line.monitoring.rules import GuardRules, Rules, rules_of
from bucle.line.monitoring.signal import Signal
from bucle.line.monitoring.store import signals, windows
from bucle.line.monitoring.summarise import features_of, summarise
from bucle.line.monitoring.watch import Watch, watch, watched
from bucle.line.monitoring.window import FeatureCounts, Window, empty_window, merge, merge_all

__all__ = [
    "LATENCY_BINS",
    "SCORE_BINS",
    "BadFrame",
    "BadHistogram",
    "Drift",
    "FeatureCounts",
    "FeatureMissing",
    "FeatureProfile",
    "Guard",
    "GuardRules",
    "Profile",
    "ProfileMismatch",
    "Quality",
    "Rules",
    "Signal",
    "Test",
    "Watch",
    "Window",
    "auc_of_counts",
    "chi_square",
    "drift",
    "ece_of_counts",
    "empty_window",
    "features_of",
    "guard",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "merge",
    "merge_all",
    "profile_of",
    "psi",
    "quality",
    "quality_of",
    "rules_of",
    "signals",
    "summarise",
    "watch",
    "watched",
    "windows",
]
