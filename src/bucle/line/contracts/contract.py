"""Contract: what a batch of rows must be like, as frozen records."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record

__all__ = [
    "Check",
    "ColumnRule",
    "Comparator",
    "Contract",
    "Measure",
    "Reference",
    "Relation",
    "Scalar",
    "Severity",
]

Scalar = bool | int | float | str

Severity = Literal["error", "warn"]
"""Whether a broken rule keeps the batch out, or is only told."""


class Comparator(Record, frozen=True, forbid_unknown_fields=True):
    """How far a column's values may be from those of a reference.

    Attributes:
        threshold: the greatest distance, 0 (alike) to 1 (nothing in common).
        measure: `l_infinity`: the greatest difference of any value's share; `jensen_shannon`: the root of that
            divergence in bits, over bins of equal count in the reference; `auto`: the first for text and booleans, the
            second for numbers and instants.
    """

    threshold: float
    measure: Literal["auto", "l_infinity", "jensen_shannon"] = "auto"


class ColumnRule(Record, frozen=True, forbid_unknown_fields=True):
    """What one column must be like.

    Attributes:
        name: the column.
        type: its Iceberg type, e.g. `double`; a narrower number is accepted; '' accepts any.
        required: whether the batch must have it.
        nullable: whether a value may be missing; not-a-number counts as missing.
        max_null_share: the greatest share of missing values, 0 to 1; None sets no limit.
        minimum: the least value allowed; instants and dates as ISO 8601 text.
        maximum: the greatest value allowed.
        mean_minimum: the least mean a batch may have; catches a unit or a currency that changed.
        mean_maximum: the greatest mean a batch may have.
        min_length: the fewest characters of a text, or items of a list.
        max_length: the most.
        min_distinct: the fewest different values a batch may have, missing ones not counted.
        max_distinct: the most.
        max_age_hours: how old the newest value, an instant or a date, may be when the batch lands.
        allowed: the only values allowed; empty allows all.
        pattern: a regular expression that the whole text must match; '' matches all.
        unique: whether no value may come twice, in the batch or in the table it lands on.
        drift: how far the values may be from those of `drift_against`; None does not look.
        skew: how far they may be from those a model was trained on; None does not look.
        tolerance: the share of rows that may break a rule about single values, 0 to 1.
        tolerances: rule -> share, where a rule has another than `tolerance`.
        severity: whether a broken rule keeps the batch out.
        severities: rule -> severity, where a rule has another than `severity`.
        where: a condition; the rules about values hold for rows that meet it. '' is every row.
        environments: where the column is looked at, e.g. `training`; empty is everywhere.
    """

    name: str
    type: str = ""
    required: bool = True
    nullable: bool = True
    max_null_share: float | None = None
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    mean_minimum: float | None = None
    mean_maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_distinct: int | None = None
    max_distinct: int | None = None
    max_age_hours: float | None = None
    allowed: tuple[Scalar, ...] = ()
    pattern: str = ""
    unique: bool = False
    drift: Comparator | None = None
    skew: Comparator | None = None
    tolerance: float = 0.0
    tolerances: dict[str, float] = {}
    severity: Severity = "error"
    severities: dict[str, Severity] = {}
    where: str = ""
    environments: tuple[str, ...] = ()


class Relation(Record, frozen=True, forbid_unknown_fields=True):
    """What must hold between two columns of a row; rows with a missing value keep it.

    Attributes:
        left: a column.
        op: how they compare.
        right: another column.
        tolerance: the share of rows that may break it, 0 to 1.
        severity: whether a broken relation keeps the batch out.
    """

    left: str
    op: Literal["<", "<=", "==", "!=", ">=", ">"]
    right: str
    tolerance: float = 0.0
    severity: Severity = "error"


class Check(Record, frozen=True, forbid_unknown_fields=True):
    """A condition of one's own that every row must meet; one that comes out as missing is met.

    Attributes:
        name: what it is called.
        holds: the condition as an SQL expression over the columns, e.g. `dep_delay < 600 OR carrier = 'HA'`.
        where: only rows that meet this are looked at; '' is every row.
        tolerance: the share of those rows that may break it, 0 to 1.
        severity: whether a broken check keeps the batch out.
    """

    name: str
    holds: str
    where: str = ""
    tolerance: float = 0.0
    severity: Severity = "error"


class Measure(Record, frozen=True, forbid_unknown_fields=True):
    """A number of one's own about the whole batch, with its limits.

    Attributes:
        name: what it is called.
        value: the number as an SQL expression of aggregates, e.g. `SUM(paid) / SUM(owed)`.
        minimum: the least it may be.
        maximum: the greatest.
        severity: whether a broken limit keeps the batch out.
    """

    name: str
    value: str
    minimum: float | None = None
    maximum: float | None = None
    severity: Severity = "error"


class Reference(Record, frozen=True, forbid_unknown_fields=True):
    """A foreign key: values that another table must have at the same commit; rows with a missing one keep it.

    Attributes:
        columns: of this table.
        table: the other table.
        to: its columns, in the order of `columns`; empty means columns of the same names.
        tolerance: the share of rows that may break it, 0 to 1.
        severity: whether a broken reference keeps the batch out.
    """

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...] = ()
    tolerance: float = 0.0
    severity: Severity = "error"


class Contract(Record, frozen=True, forbid_unknown_fields=True):
    """What a batch of a table's rows must be like.

    Attributes:
        table: the table.
        columns: one rule a column.
        unique: groups of columns whose values together come once, in the batch and in the table it lands on.
        relations: what must hold between two columns of a row.
        checks: conditions of one's own.
        measures: numbers of one's own about the whole batch.
        references: foreign keys.
        min_rows: the fewest rows a batch may have.
        max_rows: the most; None sets no limit.
        extra_columns: what to do with a column that has no rule.
        drift_against: what `drift` compares with when a batch lands: `previous` is the batch before it, `table` all
            rows there are; anything else is a branch or a commit.
        quarantine: whether rows that break a rule are set aside in `TABLE__quarantine` and the others land.
        max_quarantine_share: when more than this share of a batch would be set aside, all of it is refused.
    """

    table: str
    columns: tuple[ColumnRule, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    relations: tuple[Relation, ...] = ()
    checks: tuple[Check, ...] = ()
    measures: tuple[Measure, ...] = ()
    references: tuple[Reference, ...] = ()
    min_rows: int = 0
    max_rows: int | None = None
    extra_columns: Literal["refuse", "allow"] = "refuse"
    drift_against: str = "previous"
    quarantine: bool = False
    max_quarantine_share: float = 0.1
