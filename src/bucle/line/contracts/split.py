"""Splitting a batch: rows that keep their contract, and rows that are set aside with the names of what they break."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import polars as pl

from bucle.line.contracts.check import SHOWN, check, rules_in
from bucle.line.contracts.contract import Contract
from bucle.line.contracts.distribution import Distribution
from bucle.line.contracts.keys import ROW, missing_references, repeated_keys
from bucle.line.contracts.probe import Probe, probes
from bucle.line.contracts.report import Breach, ContractReport
from bucle.line.contracts.type import accepts, type_of

__all__ = ["QUARANTINE", "ROW_COLUMN", "RULES_COLUMN", "Split", "split"]

QUARANTINE = "__quarantine"
"""The name of a table's quarantine ends so."""

RULES_COLUMN = "_bucle_rules"
"""A column of the quarantine: which rules the row breaks, each as `COLUMN.RULE`."""

ROW_COLUMN = "_bucle_row"
"""A column of the quarantine: the row's place in its batch, from 0."""


@dataclass(frozen=True)
class Split:
    """A batch in two.

    Attributes:
        good: rows that keep every rule about rows, in their order.
        bad: the others, in their order, with `_bucle_row` and `_bucle_rules`.
        report: what is wrong with the good rows, `set_aside` what was wrong with the others. When too many rows would
            be set aside, that is a breach as well.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    report: ContractReport


def split(
    frame: pl.DataFrame,
    contract: Contract,
    *,
    existing: pl.LazyFrame | None = None,
    tables: Mapping[str, pl.LazyFrame] | None = None,
    previous: Mapping[str, Distribution] | None = None,
    training: Mapping[str, Distribution] | None = None,
    at: datetime | None = None,
    environment: str = "",
) -> Split:
    """Set the rows aside that break a rule; arguments and errors as for `check`.

    A rule about rows that stays within its tolerance sets nothing aside. Rules about the batch (types, means, drift,
    how many rows, …) are held against the rows that are left. Repeated keys are looked for among those as well, so a
    row whose twin was set aside for something else stays.

    Cost: as `check`, and a pass more for each round in which rows are set aside: two as a rule.
    """
    good, aside = frame.with_row_index(ROW), dict[str, _Aside]()
    plain, keys = _by_row(frame, contract, environment)
    while True:
        found = list(_faults(good, plain, frame.height)) + [
            _Aside(one.breach(contract.table, SHOWN), one.bad[ROW])
            for one in missing_references(good.lazy(), contract, tables, numbered=True)
            if one.severity == "error"
        ]
        found = found or list(_faults(good, keys, frame.height)) or [
            _Aside(one.breach(contract.table, SHOWN), one.bad[ROW])
            for one in repeated_keys(good.lazy(), existing, contract, numbered=True)
            if one.severity == "error"
        ]  # fmt: skip
        if not found:
            break
        for one in found:
            label = _label(one.breach)
            aside[label] = aside[label].joined(one) if label in aside else one
        gone = pl.concat([one.rows for one in found]).unique()
        good = good.filter(~pl.col(ROW).is_in(gone.implode()))
    bad = _marked(frame, aside)
    kept = good.drop(ROW)
    report = check(
        kept, contract, existing=existing, tables=tables, previous=previous, training=training, at=at,
        environment=environment,
    )  # fmt: skip
    return Split(good=kept, bad=bad, report=_reported(report, contract, aside, bad.height, frame.height))


@dataclass(frozen=True)
class _Aside:
    """A broken rule and the places of all rows that break it."""

    breach: Breach
    rows: pl.Series

    def joined(self, other: _Aside) -> _Aside:
        """Both rounds of one rule."""
        rows = pl.concat([self.rows, other.rows]).unique()
        return _Aside(msgspec.structs.replace(self.breach, count=rows.len()), rows)


def _by_row(frame: pl.DataFrame, contract: Contract, environment: str) -> tuple[list[Probe], list[Probe]]:
    rules = rules_in(contract, environment)
    unsound = {
        one.name for one in rules if one.name in frame.schema and not accepts(one.type, type_of(frame.schema[one.name]))
    }
    sound = [
        one
        for one in probes(contract, frame.schema, rules=rules)
        if one.bad is not None and one.by_row and one.severity == "error" and not unsound.intersection(one.columns)
    ]
    return [one for one in sound if not one.is_key], [one for one in sound if one.is_key]


def _faults(good: pl.DataFrame, sound: list[Probe], height: int) -> Iterator[_Aside]:
    """The rules that rows break beyond what is tolerated, one pass; the rows themselves in a second one."""
    if not sound:
        return
    values = good.select(one.measure.alias(str(number)) for number, one in enumerate(sound)).row(0)
    broken = [one for one, value in zip(sound, values, strict=True) if one.judge(value, good.height) is not None]
    if not broken:
        return
    wanted = [
        pl.col(ROW).filter(one.bad).implode().alias(str(number))
        for number, one in enumerate(broken)
        if one.bad is not None
    ]
    found = good.select(wanted)
    for number, one in enumerate(broken):
        rows = found[str(number)].explode().drop_nulls()
        if rows.len():
            yield _Aside(_breach(good, one, rows, height), rows)


def _breach(good: pl.DataFrame, probe: Probe, rows: pl.Series, height: int) -> Breach:
    shown = good.lazy().filter(pl.col(ROW).is_in(rows.head(SHOWN).implode()))
    first = shown.select(pl.col(ROW).alias("row"), *(name for name in probe.columns if name != "row")).collect()
    return Breach(
        table="",
        column=", ".join(probe.columns),
        rule=probe.rule,
        count=rows.len(),
        share=rows.len() / height,
        expected=probe.expected,
        found=f"{rows.len()} of {height} rows do not; they are set aside",
        rows=tuple(first.to_dicts()),
        by_row=True,
    )


def _label(breach: Breach) -> str:
    return f"{breach.column}.{breach.rule}" if breach.column else breach.rule


def _marked(frame: pl.DataFrame, aside: Mapping[str, _Aside]) -> pl.DataFrame:
    """The rows that are set aside, each with the rules it breaks."""
    parts = [
        pl.DataFrame({ROW: one.rows, RULES_COLUMN: pl.repeat(label, one.rows.len(), dtype=pl.String, eager=True)})
        for label, one in aside.items()
    ]
    if not parts:
        empty = frame.clear()
        return empty.with_columns(
            pl.lit(None, dtype=pl.Int64).alias(ROW_COLUMN), pl.lit(None, dtype=pl.List(pl.String)).alias(RULES_COLUMN)
        )
    named = pl.concat(parts).group_by(ROW).agg(pl.col(RULES_COLUMN).sort())
    joined = frame.with_row_index(ROW).join(named, on=ROW, how="inner", maintain_order="left")
    return joined.select(*frame.columns, pl.col(ROW).cast(pl.Int64).alias(ROW_COLUMN), RULES_COLUMN)


def _reported(
    report: ContractReport, contract: Contract, aside: Mapping[str, _Aside], bad: int, rows: int
) -> ContractReport:
    table = contract.table
    named = tuple(msgspec.structs.replace(one.breach, table=table) for one in aside.values())
    breaches = report.breaches
    limit = contract.max_quarantine_share
    if bad > limit * rows:
        found = f"{bad} of {rows} rows would be set aside"
        expected = f"at most {limit:.4g} of the rows set aside"
        breaches += (
            Breach(table=table, column="", rule="max_quarantine_share", count=bad, share=bad / rows, expected=expected,
                   found=found),
            *named,
        )  # fmt: skip
    return msgspec.structs.replace(report, breaches=breaches, set_aside=named, rows_set_aside=bad)
