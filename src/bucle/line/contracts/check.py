"""Checking a batch against its contract: every rule in one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from bucle.ground.core import suggest
from bucle.line.contracts.contract import ColumnRule, Contract, Severity
from bucle.line.contracts.distribution import Distribution
from bucle.line.contracts.errors import ContractInvalid
from bucle.line.contracts.keys import ROW, missing_references, repeated_keys
from bucle.line.contracts.probe import Finding, Probe, probes
from bucle.line.contracts.report import Breach, ContractReport
from bucle.line.contracts.type import accepts, type_of
from bucle.line.contracts.values import few_values

__all__ = ["SHOWN", "check", "check_schema", "rules_in"]

SHOWN = 5
"""How many bad rows a breach shows."""

_FAULTS = (
    pl.exceptions.InvalidOperationError,
    pl.exceptions.ComputeError,
    pl.exceptions.SchemaError,
    pl.exceptions.ShapeError,
)


Rows = pl.DataFrame | pl.LazyFrame


class _Told(NamedTuple):
    """A breach with what becomes of it."""

    breach: Breach
    severity: Severity


def check(
    frame: pl.DataFrame | pl.LazyFrame,
    contract: Contract,
    *,
    existing: pl.LazyFrame | None = None,
    tables: Mapping[str, pl.LazyFrame] | None = None,
    previous: Mapping[str, Distribution] | None = None,
    training: Mapping[str, Distribution] | None = None,
    at: datetime | None = None,
    environment: str = "",
) -> ContractReport:
    """What a batch does against its contract.

    Args:
        frame: the batch; a lazy one is computed in one pass as well, without being held in memory.
        contract: the rules; one about a column of another type than it names is not looked at, since the type is
            already a breach.
        existing: the rows that are there already; keys are held against them too.
        tables: name -> rows of the tables that references lead to.
        previous: what drift is measured against, from `distributions`.
        training: what skew is measured against.
        at: when it lands, for the age of its newest value.
        environment: where this is, e.g. `serving`; rules for other environments are left out. '' looks at all.
    Returns:
        The report; a broken rule is a finding, not an error. What could not be looked at is in `.skipped`.
    Raises:
        ContractInvalid: a limit cannot be compared with its column, e.g. `minimum: red` for a number.
        BadExpression: a condition is not understood.
    Cost: one pass over the columns that have rules; a second one when a rule is broken, for the rows to show; one read
        of key columns for `existing` and `tables`.
    """
    schema = frame.collect_schema()
    told = list(_schema_faults(schema, contract, environment))
    unsound = {one.breach.column for one in told if one.breach.rule in ("type", "required")}
    rules = rules_in(contract, environment)
    found = list(
        probes(
            contract, schema, rules=rules, at=at, previous=previous, training=training,
            few=few_values(frame, rules),
        )
    )  # fmt: skip
    sound = [one for one in found if not unsound.intersection(one.columns)]
    height, values = _measured(frame, sound, contract)
    broken = [
        (probe, finding)
        for probe, value in zip(sound, values, strict=True)
        if (finding := probe.judge(value, height)) is not None
    ]
    told += _breaches(frame, contract.table, broken, height)
    rows = frame.lazy()
    for one in (*missing_references(rows, contract, tables, unsound), *repeated_keys(rows, existing, contract)):
        told.append(_Told(one.breach(contract.table, SHOWN), one.severity))
    told += [_Told(one, "error") for one in _row_counts(height, contract)]
    return ContractReport(
        table=contract.table,
        rows=height,
        breaches=tuple(one.breach for one in told if one.severity == "error"),
        warnings=tuple(one.breach for one in told if one.severity == "warn"),
        rules=len(sound) + _schema_rules(contract) + len(contract.references),
        skipped=tuple(_skipped(contract, at=at, previous=previous, training=training, tables=tables)),
    )


def check_schema(frame: pl.DataFrame, contract: Contract) -> Iterator[Breach]:
    """What is wrong with a batch's columns before any row is looked at, and keeps it out."""
    yield from (one.breach for one in _schema_faults(frame.schema, contract, "") if one.severity == "error")


def computed(rows: Rows) -> pl.DataFrame:
    """The rows in memory. Those that are there already are computed eagerly: half the CPU of the lazy engines."""
    return rows.collect() if isinstance(rows, pl.LazyFrame) else rows


def rules_in(contract: Contract, environment: str) -> list[ColumnRule]:
    """The columns that are looked at in an environment."""
    return [
        one for one in contract.columns if not environment or not one.environments or environment in one.environments
    ]


def _schema_faults(schema: pl.Schema, contract: Contract, environment: str) -> Iterator[_Told]:
    table, known = contract.table, {rule.name for rule in contract.columns}
    for rule in rules_in(contract, environment):
        if rule.name not in schema:
            if rule.required:
                near = suggest(rule.name, [name for name in schema if name not in known])
                found = f"it is missing. {near}".strip()
                breach = _about(table, rule.name, "required", "the column is there", found)
                yield _Told(breach, rule.severities.get("required", rule.severity))
            continue
        found = type_of(schema[rule.name])
        if not accepts(rule.type, found):
            yield _Told(_about(table, rule.name, "type", rule.type, f"it is {found}"), "error")
    if contract.extra_columns == "refuse":
        for name in schema:
            if name not in known:
                breach = _about(table, name, "extra_columns", "only columns with a rule", "the column has none")
                yield _Told(breach, "error")


def _measured(rows: Rows, sound: Sequence[Probe], contract: Contract) -> tuple[int, tuple[Any, ...]]:
    measures = [probe.measure.alias(str(number)) for number, probe in enumerate(sound)]
    try:
        height, *values = computed(rows.select(pl.len().alias("rows"), *measures)).row(0)
    except _FAULTS as error:
        culprit = _culprit(rows, sound)
        raise ContractInvalid(
            f"The contract of {contract.table!r} cannot be computed: {culprit}{str(error).splitlines()[0]}.",
            why="A rule that cannot be computed cannot be kept.",
            fix=f"Mend contracts/{contract.table}.yaml.",
            at=contract.table,
        ) from error
    return int(height), tuple(values)


def _culprit(rows: Rows, sound: Sequence[Probe]) -> str:
    for probe in sound:
        try:
            computed(rows.select(probe.measure))
        except _FAULTS:
            return f"{probe.rule} of {', '.join(probe.columns)} ({probe.expected}): "
    return ""


def _breaches(rows: Rows, table: str, broken: Sequence[tuple[Probe, Finding]], height: int) -> Iterator[_Told]:
    """The breaches with their first rows: one pass for all of them."""
    wanted = {
        str(number): _row_of(probe).filter(probe.bad).head(SHOWN).implode()
        for number, (probe, _) in enumerate(broken)
        if probe.bad is not None
    }
    wanted |= {
        f"{number}|count": probe.bad.sum()
        for number, (probe, finding) in enumerate(broken)
        if finding.count is None and probe.bad is not None
    }
    shown = _first_rows(rows, wanted) if wanted else {}
    for number, (probe, finding) in enumerate(broken):
        first = shown.get(str(number), [])
        count = shown[f"{number}|count"] if finding.count is None else finding.count
        share = count / height if finding.count is None else finding.share
        text = finding.text or _told(count, height, probe.columns, first)
        breach = _about(
            table, ", ".join(probe.columns), probe.rule, probe.expected, text, count=count, share=share,
            rows=tuple(first), by_row=probe.bad is not None and probe.by_row,
        )  # fmt: skip
        yield _Told(breach, probe.severity)


def _first_rows(rows: Rows, wanted: Mapping[str, pl.Expr]) -> dict[str, Any]:
    numbered = rows.with_row_index(ROW)
    return computed(numbered.select(one.alias(name) for name, one in wanted.items())).row(0, named=True)


def _row_of(probe: Probe) -> pl.Expr:
    return pl.struct(pl.col(ROW).alias("row"), *(name for name in probe.columns if name != "row"))


def _told(count: int, height: int, columns: tuple[str, ...], first: Sequence[Mapping[str, Any]]) -> str:
    if not first:
        return f"{count} of {height} rows do not"
    values = ", ".join(f"{name}={first[0][name]!r}" for name in columns if name in first[0])
    return f"{count} of {height} rows do not, the first is row {first[0].get('row')} with {values}"


def _row_counts(rows: int, contract: Contract) -> Iterable[Breach]:
    if rows < contract.min_rows:
        yield _about(contract.table, "", "min_rows", f"at least {contract.min_rows} rows", f"the batch has {rows}")
    if contract.max_rows is not None and rows > contract.max_rows:
        yield _about(contract.table, "", "max_rows", f"at most {contract.max_rows} rows", f"the batch has {rows}")


def _schema_rules(contract: Contract) -> int:
    limits = (contract.min_rows > 0) + (contract.max_rows is not None) + (contract.extra_columns == "refuse")
    return sum(rule.required + bool(rule.type) for rule in contract.columns) + limits


def _skipped(
    contract: Contract,
    *,
    at: datetime | None,
    previous: Mapping[str, Distribution] | None,
    training: Mapping[str, Distribution] | None,
    tables: Mapping[str, Any] | None,
) -> Iterator[str]:
    for rule in contract.columns:
        if rule.max_age_hours is not None and at is None:
            yield f"{rule.name}.max_age_hours: no instant of landing was given"
        if rule.drift is not None and rule.name not in (previous or {}):
            yield f"{rule.name}.drift: there are no earlier rows to compare with"
        if rule.skew is not None and rule.name not in (training or {}):
            yield f"{rule.name}.skew: no training rows were given to compare with"
    for reference in contract.references if tables is None else ():
        yield f"{', '.join(reference.columns)}.reference: the table {reference.table!r} was not given"


def _about(
    table: str,
    column: str,
    rule: str,
    expected: str,
    found: str,
    *,
    count: int = 1,
    share: float = 1.0,
    rows: tuple[dict[str, Any], ...] = (),
    by_row: bool = False,
) -> Breach:
    return Breach(
        table=table, column=column, rule=rule, count=count, share=share, expected=expected, found=found, rows=rows,
        by_row=by_row,
    )  # fmt: skip
