"""The seven tests for infrastructure."""

from __future__ import annotations

from bucle.ground.core import make_ref
from bucle.loop.readiness.evidence import Evidence, event_ref, is_automatic
from bucle.loop.readiness.score import Marks, RubricTest

__all__ = ["INFRA"]


def _reproducible(evidence: Evidence) -> Marks:
    wanted = {step.key for step in evidence.steps}
    if not wanted:
        return Marks(0, "No step that made it is on record.")
    again = {event.data["key"]: event for event in reversed(evidence.events("pipelines.step_reproduced"))}
    done = [again[key] for key in wanted if key in again]
    differing = [event for event in done if not event.data["identical"]]
    if differing:
        return Marks(0, f"{differing[0].data['step']} came out otherwise.", event_ref(differing[0].seq))
    if len(done) < len(wanted):
        return Marks(0, f"{len(done)} of its {len(wanted)} steps were computed again.")
    newest = max(done, key=lambda event: event.seq)
    points = 1 if all(is_automatic(event) for event in done) else 0.5
    return Marks(points, "Every step was computed again, bit for bit the same.", event_ref(newest.seq))


def _specs_tested(evidence: Evidence) -> Marks:
    modules = {step.source.partition(":")[0].removesuffix(".py").replace("/", ".") for step in evidence.steps}
    files = evidence.tests_of(modules)
    if files:
        return Marks(0.5, f"Tests import the steps' modules: {', '.join(files)}.", files[0])
    return Marks(0, "No test of the project imports the module of a step.")


def _integration(evidence: Evidence) -> Marks:
    """The whole way from data to traffic, taken by the loop with a look at each station, or by hand."""
    whole = [one for one in evidence.cycles if one.looks and one.outcome in ("promoted", "rolled_back")]
    if whole:
        told = f"Cycle {whole[-1].number} went from data to traffic by itself: {whole[-1].outcome}."
        return Marks(1, told, f"loop/{evidence.model}@{whole[-1].number}")
    judged = {verdict.subject for _, verdict in evidence.verdicts}
    if evidence.steps and evidence.version.ref in judged and evidence.rollouts:
        told = "Its pipeline ran, a gate judged it and it was rolled out."
        return Marks(0.5, told, event_ref(evidence.rollouts[0][0].seq))
    return Marks(0, "It did not go the whole way from data to traffic.")


def _validated(evidence: Evidence) -> Marks:
    """Whether every rollout came after a verdict that let the version pass."""
    if not evidence.rollouts:
        declared = evidence.policy is not None and bool(evidence.policy.gates)
        told = "The policy has gates; nothing was rolled out yet." if declared else "Nothing was rolled out."
        return Marks(0.5, told, "bucle.toml") if declared else Marks(0, told)
    proofs = []
    for event, rollout in evidence.rollouts:
        subject = make_ref("model", rollout.model, rollout.candidate)
        before = [one for one, verdict in evidence.verdicts if verdict.subject == subject and one.seq < event.seq]
        passed = [one for one in before if one.data["passed"]]
        if not passed:
            return Marks(0, f"{subject} was rolled out without a verdict that let it pass.", event_ref(event.seq))
        proofs.append(passed[0])
    points = 1 if all(is_automatic(one) for one in proofs) else 0.5
    return Marks(points, f"Each of {len(proofs)} rollouts came after a verdict.", event_ref(proofs[0].seq))


def _debuggable(evidence: Evidence) -> Marks:
    if not evidence.steps:
        return Marks(0, "No step that made it is on record: an answer cannot be followed back.")
    if not evidence.answers:
        return Marks(0, "No answer of its endpoint is on record.")
    told = "Answers are on record with request, features and output, and so are its steps: bucle trace follows one."
    return Marks(0.5, told, make_ref("endpoint", evidence.endpoint))


def _canaried(evidence: Evidence) -> Marks:
    looked = [event for event in evidence.done if event.data.get("look")]
    if looked:
        return Marks(1, "A canary's answers were compared with the champion's.", event_ref(looked[0].seq))
    parts = [(event, one) for event, one in evidence.rollouts if one.steps and one.champion is not None]
    if parts:
        return Marks(0.5, "A canary was rolled out by hand.", event_ref(parts[0][0].seq))
    if evidence.policy and evidence.policy.rollout.steps:
        return Marks(0.5, "The policy has steps for a canary; there was none yet.", "bucle.toml")
    return Marks(0, "No canary is on record.")


def _rolled_back(evidence: Evidence) -> Marks:
    ids = {rollout.id for _, rollout in evidence.rollouts}
    back = [one for one in evidence.events("deploy.rollout_rolled_back") if one.data.get("rollout") in ids]
    if back:
        by_itself = [one for one in back if is_automatic(one)]
        event = (by_itself or back)[0]
        return Marks(1 if by_itself else 0.5, "A rollout was taken back.", event_ref(event.seq))
    if evidence.policy and any(rollout.champion for _, rollout in evidence.rollouts):
        return Marks(0.5, "The policy takes a failing canary back; it never had to.", "bucle.toml")
    return Marks(0, "No rollout was taken back, and no version stands by.")


INFRA = (
    RubricTest("infra-1", "training is reproducible", _reproducible, "bucle model reproduce MODEL@VERSION"),
    RubricTest(
        "infra-2",
        "model specs are unit tested",
        _specs_tested,
        "Write tests in the project that import the module of the steps.",
    ),
    RubricTest(
        "infra-3",
        "the pipeline is integration tested",
        _integration,
        "Let the loop take a turn: bucle loop run --once",
    ),
    RubricTest("infra-4", "quality is validated before serving", _validated, "bucle gate judge MODEL@VERSION"),
    RubricTest(
        "infra-5",
        "the model can be debugged",
        _debuggable,
        "Make it with `bucle run` and serve it; then: bucle trace PREDICTION --reproduce",
    ),
    RubricTest(
        "infra-6", "models are canaried before serving", _canaried, "Let the loop roll it: bucle loop run --once"
    ),
    RubricTest("infra-7", "serving models can be rolled back", _rolled_back, "Try it: bucle deploy rollback ENDPOINT"),
)
