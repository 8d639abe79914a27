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
        share: the same as a share of the batch.
        expected: what the contract says.
        found: what was there, for people.
        rows: the first rows that break it, each with `row` (its place in the batch, from 0) and the column's values.
    """

    table: str
    column: str
    rule: str
    count: int
    share: float
    expected: str
    found: str
    rows: tuple[dict[str, Any], ...] = ()

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
    """

    table: str
    rows: int
    breaches: tuple[Breach, ...]

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return not self.breaches
