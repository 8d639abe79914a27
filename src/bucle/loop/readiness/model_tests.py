"""The seven tests for model development."""

from __future__ import annotations

import numpy as np

from bucle.line import tracking
from bucle.loop.readiness.evidence import Evidence, event_ref, is_automatic
from bucle.loop.readiness.score import Marks, RubricTest

__all__ = ["MODEL"]

_ENOUGH = 3
"""So many versions tell whether offline and online agree."""

_PARENT = "mlflow.parentRunId"
"""The tag by which a run of a search names the search."""

_SHADOW = "shadow"


def _reviewed(evidence: Evidence) -> Marks:
    run, people = evidence.run, [one for one in evidence.approvals if not one.principal.startswith("policy:")]
    submitted = run is not None and bool(run.code_commit) and not run.code_diff
    if submitted and people:
        told = f"Trained at git commit {run.code_commit[:12] if run else ''}; {people[0].principal} approved it."
        return Marks(1, told, evidence.version.ref)
    if people:
        return Marks(0.5, f"{people[0].principal} approved it; its code is not a git commit.", evidence.version.ref)
    if submitted and run is not None:
        return Marks(0.5, f"Trained at git commit {run.code_commit[:12]}; no person approved it.", f"run/{run.id}")
    return Marks(0, "Its code is not a git commit, and no person approved it.")


def _correlate(evidence: Evidence) -> Marks:
    """Each version's AUC at its registration beside the one that clients saw."""
    pairs = dict[int, tuple[float, float]]()
    offline = {one.version: one.metrics["auc"] for one in evidence.versions if "auc" in one.metrics}
    proof = ""
    for event, seen in evidence.watched:
        for found in seen.quality:
            if found.model == evidence.model and found.auc is not None and found.version in offline:
                pairs.setdefault(found.version, (offline[found.version], found.auc))
                proof = proof or event_ref(event.seq)
    if len(pairs) >= _ENOUGH:
        r = _rank_correlation(list(pairs.values()))
        told = f"Rank correlation {r:.2f} over {len(pairs)} versions."
        return Marks(1, told, proof) if r > 0 else Marks(0.5, f"{told} They do not agree.", proof)
    if pairs:
        return Marks(0.5, f"Both are on record for {len(pairs)} versions; {_ENOUGH} are wanted.", proof)
    return Marks(0, "No version has both: no label of an answer is known yet.")


def _rank_correlation(pairs: list[tuple[float, float]]) -> float:
    """Spearman's rank correlation; 0 where one side does not vary."""
    ranks = [np.argsort(np.argsort(side)) for side in zip(*pairs, strict=True)]
    if any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _tuned(evidence: Evidence) -> Marks:
    run = evidence.run
    if run is None:
        return Marks(0, "No run is on record.")
    others = [one for one in tracking.runs(evidence.project, run.experiment, limit=None) if one.id != run.id]
    group = run.tags.get(_PARENT, run.id)
    searched = [one for one in others if one.tags.get(_PARENT) == group and one.params != run.params]
    if searched:
        return Marks(1, f"Searched over {len(searched) + 1} sets of parameters.", f"run/{group}")
    tried = [one for one in others if one.inputs == run.inputs and one.params != run.params]
    if tried:
        return Marks(0.5, f"{len(tried)} other sets of parameters were tried on the same data.", f"run/{run.id}")
    return Marks(0, "No other set of parameters was tried on its data.")


def _stale(evidence: Evidence) -> Marks:
    """An old version beside the new one on the same traffic, or one version over time."""
    windows: dict[int, set[object]] = {}
    proof = ""
    for event, seen in evidence.watched:
        for window in seen.windows:
            if window.model != evidence.model or not window.labelled:
                continue
            proof = proof or event_ref(event.seq)
            windows.setdefault(window.version, set()).add(window.since)
            if window.arm == _SHADOW and is_automatic(event):
                told = f"Version {window.version} answers in the shadow and is measured beside the champion."
                return Marks(1, told, event_ref(event.seq))
    if longest := max((len(instants) for instants in windows.values()), default=0):
        if longest > 1:
            return Marks(0.5, f"One version's live quality is on record for {longest} windows.", proof)
        return Marks(0, "Live quality is on record for one window only.")
    return Marks(0, "No live quality is on record.")


def _simpler(evidence: Evidence) -> Marks:
    own = _width(evidence, evidence.version.version)
    for event, verdict in evidence.verdicts:
        against = verdict.against.rpartition("@")[2]
        if verdict.subject != evidence.version.ref or not (verdict.passed and against.isdecimal()):
            continue
        other = _width(evidence, int(against))
        if own is not None and other is not None and other < own:
            told = f"It beat {verdict.against}, which takes {other} inputs and not {own}."
            return Marks(1 if is_automatic(event) else 0.5, told, event_ref(event.seq))
    return Marks(0, "No verdict compares it with a version that takes fewer inputs.")


def _width(evidence: Evidence, number: int) -> int | None:
    version = next((one for one in evidence.versions if one.version == number), None)
    package = evidence.package_of(version) if version else None
    return len(package.signature.inputs) if package else None


def _slices(evidence: Evidence) -> Marks:
    return _of_gate(evidence, "slices", "slices")


def _inclusion(evidence: Evidence) -> Marks:
    return _of_gate(evidence, "fairness", "groups")


def _of_gate(evidence: Evidence, gate: str, what: str) -> Marks:
    """Whether a gate looked at parts of the rows when the version was judged, or only stands in the policy."""
    for event, verdict in evidence.verdicts:
        looked = [one for one in verdict.checks if one.gate == gate and one.slice and one.rows]
        if verdict.subject == evidence.version.ref and looked and verdict.passed:
            told = f"{len(looked)} {what} were judged and passed."
            return Marks(1 if is_automatic(event) else 0.5, told, event_ref(event.seq))
    if evidence.policy and gate in evidence.policy.gates:
        told = f"The policy has the gate {gate!r}; it has not judged a part of this version's rows."
        return Marks(0.5, told, "bucle.toml")
    return Marks(0, f"No gate looks at {what}.")


MODEL = (
    RubricTest(
        "model-1",
        "model specs are reviewed and submitted",
        _reviewed,
        "Commit the project to git before training, and: bucle model approve MODEL@VERSION",
    ),
    RubricTest(
        "model-2",
        "offline and online metrics correlate",
        _correlate,
        "Let labels arrive in [loop.MODEL.labels] and versions serve: bucle monitor show ENDPOINT",
    ),
    RubricTest(
        "model-3",
        "all hyperparameters are tuned",
        _tuned,
        "Run the training with other parameters: bucle run PIPELINE -p NAME=VALUE",
    ),
    RubricTest(
        "model-4",
        "the impact of staleness is known",
        _stale,
        "Let an old version answer unseen: [loop.MODEL.rollout] shadows = [1]",
    ),
    RubricTest(
        "model-5",
        "a simpler model is not better",
        _simpler,
        "bucle gate judge MODEL@VERSION --against SIMPLER",
    ),
    RubricTest(
        "model-6",
        "quality is sufficient on important slices",
        _slices,
        'Add to bucle.toml: [loop.MODEL.gates] slices = { columns = ["COLUMN"] }',
    ),
    RubricTest(
        "model-7",
        "the model is tested for inclusion",
        _inclusion,
        'Compare groups of people, then: bucle check --attest model-7 "where the figures are"',
    ),
)
