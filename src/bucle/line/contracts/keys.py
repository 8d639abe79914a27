"""Keys across tables: rows whose key is in the table already, and rows that refer to what another table lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from bucle.line.contracts.contract import Contract, Reference, Severity
from bucle.line.contracts.expression import compile_expression
from bucle.line.contracts.probe import key_groups
from bucle.line.contracts.report import Breach

__all__ = ["ROW", "KeyFault", "missing_references", "repeated_keys"]

ROW = "\0row"
"""The place of a row in the batch; no column of a table bears this name."""


@dataclass(frozen=True)
class KeyFault:
    """Rows of a batch that a rule across tables finds bad.

    Attributes:
        columns: the key.
        rule: `unique` or `reference`.
        expected: the rule, for people.
        found: what was there.
        bad: the rows' places in the batch, ascending, and their keys.
        rows: how many rows the batch has.
        severity: whether it keeps the batch out.
    """

    columns: tuple[str, ...]
    rule: str
    expected: str
    found: str
    bad: pl.DataFrame
    rows: int
    severity: Severity

    def breach(self, table: str, shown: int) -> Breach:
        """The same as a breach that shows the first rows."""
        return Breach(
            table=table,
            column=", ".join(self.columns),
            rule=self.rule,
            count=self.bad.height,
            share=self.bad.height / max(self.rows, 1),
            expected=self.expected,
            found=self.found,
            rows=tuple(self.bad.head(shown).rename({ROW: "row"}).to_dicts()),
            by_row=True,
        )


def repeated_keys(
    batch: pl.LazyFrame, existing: pl.LazyFrame | None, contract: Contract, *, numbered: bool = False
) -> Iterator[KeyFault]:
    """Which rows of a batch bear a key that the table they land on has already.

    Args:
        numbered: whether the batch has its rows' places in a column `ROW`.
    Cost: one read of the key columns of the table.
    """
    if existing is None:
        return
    mine, known = batch.collect_schema(), existing.collect_schema().names()
    conditions = {(rule.name,): rule.where for rule in contract.columns if rule.where}
    for keys in key_groups(contract):
        if not set(keys) <= {*known} & {*mine}:
            continue
        if any(mine[key] == pl.Null for key in keys):
            continue
        there, marked = existing, batch if numbered else batch.with_row_index(ROW)
        if keys in conditions:
            there = there.filter(compile_expression(conditions[keys], there.collect_schema()))
            marked = marked.filter(compile_expression(conditions[keys], mine))
        seen = there.select(pl.col(key).cast(mine[key], strict=False) for key in keys)
        marked = marked.select(ROW, *keys)
        bad = marked.join(seen, on=list(keys), how="semi").sort(ROW)
        rows, found = pl.collect_all([batch.select(pl.len()), bad])
        if found.height:
            expected = "no row of the table has the same values"
            text = f"{found.height} rows are in the table already"
            yield KeyFault(keys, "unique", expected, text, found, rows.item(), _severity(contract, keys))


def missing_references(
    batch: pl.LazyFrame,
    contract: Contract,
    tables: Mapping[str, pl.LazyFrame] | None,
    unsound: Collection[str] = (),
    *,
    numbered: bool = False,
) -> Iterator[KeyFault]:
    """Which rows of a batch refer to a row that another table does not have.

    Args:
        tables: name -> rows; one that is not there holds nothing. None looks at no reference.
    Cost: one read of the columns referred to.
    """
    if tables is None:
        return
    mine = batch.collect_schema()
    for reference in contract.references:
        sound = set(mine) - set(unsound)
        if not set(reference.columns) <= sound or any(mine[name] == pl.Null for name in reference.columns):
            continue
        fault = _missing(batch if numbered else batch.with_row_index(ROW), mine, reference, tables)
        if fault is not None:
            yield fault


def _missing(
    marked: pl.LazyFrame, mine: pl.Schema, reference: Reference, tables: Mapping[str, pl.LazyFrame]
) -> KeyFault | None:
    columns, to = list(reference.columns), list(reference.to or reference.columns)
    expected = f"{reference.table} has a row with the same {', '.join(to)}"
    here = marked.select(ROW, *columns)
    whole = here.drop_nulls(columns)
    other = tables.get(reference.table)
    if other is None or not set(to) <= set(other.collect_schema()):
        there = f"the table {reference.table!r} " + ("is not there" if other is None else f"has no {', '.join(to)}")
        rows, bad = pl.collect_all([here.select(pl.len()), whole])
        return KeyFault(reference.columns, "reference", expected, there, bad, rows.item(), reference.severity)
    seen = other.select(
        pl.col(old).cast(mine[new], strict=False).alias(new) for old, new in zip(to, columns, strict=True)
    )
    rows, bad = pl.collect_all([here.select(pl.len()), whole.join(seen, on=columns, how="anti").sort(ROW)])
    if bad.height <= reference.tolerance * rows.item():
        return None
    first = ", ".join(f"{name}={bad[name][0]!r}" for name in columns)
    found = f"{bad.height} of {rows.item()} rows lead nowhere, the first with {first}"
    return KeyFault(reference.columns, "reference", expected, found, bad, rows.item(), reference.severity)


def _severity(contract: Contract, keys: tuple[str, ...]) -> Severity:
    rule = next((one for one in contract.columns if len(keys) == 1 and one.name == keys[0]), None)
    return "error" if rule is None else rule.severities.get("unique", rule.severity)
