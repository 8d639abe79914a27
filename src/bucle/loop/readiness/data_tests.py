"""The seven tests for features and data."""

from __future__ import annotations

from itertools import pairwise

from bucle.ground.core import make_ref
from bucle.line import data
from bucle.loop.readiness.evidence import Evidence, event_ref, is_automatic
from bucle.loop.readiness.score import Marks, RubricTest

__all__ = ["DATA"]

_NOTHING_READ = "No table is known that it is made of."


def _schema(evidence: Evidence) -> Marks:
    if not evidence.tables:
        return Marks(0, _NOTHING_READ)
    without = [table for table in evidence.tables if table not in evidence.contracted]
    judged = [evidence.landings[table] for table in evidence.contracted if table in evidence.landings]
    if not without and len(judged) == len(evidence.tables):
        newest = max(judged, key=lambda one: one.seq)
        return Marks(1, f"Every batch of {_list(evidence.tables)} is held to a contract.", event_ref(newest.seq))
    if evidence.contracted:
        table = min(evidence.contracted)
        lacking = f"no contract for {_list(without)}" if without else "not every contract has judged a batch"
        return Marks(0.5, f"Contracts for {_list(evidence.contracted)}; {lacking}.", f"contracts/{table}.yaml")
    return Marks(0, f"No contract for {_list(without)}.")


def _beneficial(evidence: Evidence) -> Marks:
    return Marks(0, "No record says what each feature adds.")


def _cost(evidence: Evidence) -> Marks:
    return Marks(0, "No record says what each feature costs.")


def _requirements(evidence: Evidence) -> Marks:
    if not evidence.tables:
        return Marks(0, _NOTHING_READ)
    held = data.each_in_force(evidence.project, evidence.tables)
    told = [name for name, one in held.items() if isinstance(one, data.InForce) and one.record.purposes]
    asked = {use.table: use for use in evidence.uses if use.table in told and use.purpose}
    if told and len(told) == len(evidence.tables) == len(asked):
        newest = max(asked.values(), key=lambda use: use.seq)
        return Marks(
            1,
            f"Purposes of {_list(told)} are asked whenever a training reads; the last was let.",
            event_ref(newest.seq),
        )
    if told:
        return Marks(0.5, f"Purposes are declared for {_list(told)}.", make_ref("table", told[0]))
    return Marks(0, f"{_list(evidence.tables)}: no purposes are declared.")


def _privacy(evidence: Evidence) -> Marks:
    tagged = [table for table in evidence.tables if data.pii_tags(evidence.project, table)]
    if tagged:
        return Marks(1, f"Personal columns of {_list(tagged)} are masked wherever rows leave.", _table(tagged[0]))
    subjects = {_table(table) for table in evidence.tables}
    if keys := [event for event in evidence.events("keys.made") if event.subject in subjects]:
        return Marks(1, f"{keys[0].subject} is encrypted.", event_ref(keys[0].seq))
    if said := [event for event in evidence.events("governance.granted") if event.subject in subjects]:
        return Marks(0.5, f"Somebody said who may do what with {said[0].subject}.", event_ref(said[0].seq))
    return Marks(0, "No column is tagged as personal, nothing is encrypted, nobody said who may read.")


def _quick(evidence: Evidence) -> Marks:
    """A later version that has a view the one before it had not, made the same way."""
    packed = [(one, package) for one in evidence.versions if (package := evidence.package_of(one)) is not None]
    judged = {verdict.subject: event for event, verdict in evidence.verdicts if is_automatic(event)}
    best = Marks(0, "No version has a feature view that the one before it had not.")
    for (_, before), (version, after) in pairwise(packed):
        added = _names(after.features) - _names(before.features)
        if added and version.ref in judged:
            told = f"{_list(added)} came with {version.ref}, which the loop judged."
            return Marks(1, told, event_ref(judged[version.ref].seq))
        if added:
            best = Marks(0.5, f"{_list(added)} came with {version.ref}.", version.ref)
    return best


def _tested(evidence: Evidence) -> Marks:
    modules = {str(view.function.__module__) for view in evidence.views.values()}
    if not modules:
        return Marks(0, "The version uses no feature view.")
    if files := evidence.tests_of(modules):
        return Marks(0.5, f"Tests import {_list(modules)}: {_list(files)}.", files[0])
    pins = {view.ref for view in evidence.views.values()}
    passed = {event.subject: event for event in evidence.events("features.checked") if event.data["passed"]}
    if pins <= set(passed):
        newest = max((passed[pin] for pin in pins), key=lambda event: event.seq)
        return Marks(0.5, "Every view was checked for looking into the future.", event_ref(newest.seq))
    return Marks(0, f"No test imports {_list(modules)}.")


def _names(pins: tuple[str, ...]) -> set[str]:
    return {pin.partition("@")[0] for pin in pins}


def _table(name: str) -> str:
    return make_ref("table", name)


def _list(names: object) -> str:
    return ", ".join(sorted(map(str, names)))  # type: ignore[call-overload]


_CHECKED = "Write tests that import the module of the views, or: bucle feature check"
DATA = (
    RubricTest("data-1", "feature expectations are captured in a schema", _schema, "bucle data infer TABLE"),
    RubricTest(
        "data-2",
        "every feature is beneficial",
        _beneficial,
        'Leave one out at a time, then: bucle check --attest data-2 "where the figures are"',
    ),
    RubricTest(
        "data-3",
        "no feature costs too much",
        _cost,
        'Measure each view, then: bucle check --attest data-3 "where the figures are"',
    ),
    RubricTest(
        "data-4",
        "features adhere to meta-level requirements",
        _requirements,
        "bucle data describe TABLE --purpose PURPOSE",
    ),
    RubricTest("data-5", "the data pipeline has privacy controls", _privacy, "bucle data pii TABLE"),
    RubricTest(
        "data-6",
        "new features can be added quickly",
        _quick,
        'Add a view and let the loop make a version, or: bucle check --attest data-6 "how long it takes"',
    ),
    RubricTest("data-7", "all input feature code is tested", _tested, _CHECKED),
)
