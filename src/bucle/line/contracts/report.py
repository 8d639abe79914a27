"""ContractReport: what a batch did against its contract."""

from __future__ import annotations

from typing import Any

from bucle.ground.core import Record

__all__ = ["Breach", "ContractReport"]


class Breach(Record, frozen=True):
    """A rule that a batch breaks.

    Attributes:
        table: the table.
        column: the column, several with `, ` between them, or '' for a rule about the whole batch.
        rule: `type`, `required`, `nullable`, `minimum`, `maximum`, `allowed`, `pattern`, `unique`, `min_rows`, ….
        count: how many rows break it (or columns, for rules about the schema).
        share: the same as a share of the rows the rule is about.
        expected: what the contract says.
        found: what was there, for people.
        rows: the first rows that break it, each with `row` (its place in the batch, from 0) and the column's values.
        by_row: whether it says of single rows that they are bad; such rows can be set aside.
    """

    table: str
    column: str
    rule: str
    count: int
    share: float
    expected: str
    found: str
    rows: tuple[dict[str, Any], ...] = ()
    by_row: bool = False

    def sentence(self) -> str:
        """The breach in one line."""
        subject = f"{self.table}.{self.column}" if self.column else self.table
        return f"{subject} breaks {self.rule} ({self.expected}): {self.found}"


class ContractReport(Record, frozen=True):
    """What checking a batch found.

    Attributes:
        table: the table; several with `, ` between them when a landing had more than one.
        rows: how many rows were looked at.
        breaches: every rule that was broken; empty when the batch keeps its contract.
        warnings: broken rules that only warn.
        rules: how many rules were looked at.
        skipped: rules that could not be looked at, each with why: nothing to compare with was given.
        set_aside: rules for which rows were set aside, in a batch that landed without them.
        rows_set_aside: how many rows that were.
    """

    table: str
    rows: int
    breaches: tuple[Breach, ...]
    warnings: tuple[Breach, ...] = ()
    rules: int = 0
    skipped: tuple[str, ...] = ()
    set_aside: tuple[Breach, ...] = ()
    rows_set_aside: int = 0

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return not self.breaches

    @property
    def score(self) -> float:
        """The share of rules that hold, 0 to 1; warnings count as half broken."""
        broken = len(self.breaches) + len(self.set_aside) + len(self.warnings) / 2
        return max(0.0, 1 - broken / self.rules) if self.rules else float(self.passed)
