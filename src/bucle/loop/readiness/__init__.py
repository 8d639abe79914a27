"""Readiness: how far a project is fit for production: its definitions, its debt, and the score of its models."""

from bucle.loop.readiness.attest import Attestation, NoReason, NoSuchTest, attest, attestations
from bucle.loop.readiness.check import Readiness, check, scored
from bucle.loop.readiness.definitions import Definition
from bucle.loop.readiness.finding import Finding
from bucle.loop.readiness.rubric import TESTS
from bucle.loop.readiness.score import BANDS, RubricItem, RubricTest, Score, band_of, score

__all__ = [
    "BANDS",
    "TESTS",
    "Attestation",
    "Definition",
    "Finding",
    "NoReason",
    "NoSuchTest",
    "Readiness",
    "RubricItem",
    "RubricTest",
    "Score",
    "attest",
    "attestations",
    "band_of",
    "check",
    "score",
    "scored",
]
