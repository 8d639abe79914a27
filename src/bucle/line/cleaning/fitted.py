"""FittedCleaning: a policy with what it learned from training rows; plain JSON, carried with the model."""

from __future__ import annotations

from bucle.ground.core import Digest, Record, decode, digest_of_value
from bucle.line.cleaning.policy import Cleaning, ColumnCleaning, Scalar

__all__ = ["FittedCleaning", "FittedColumn", "GroupFill", "read_fitted"]


class GroupFill(Record, frozen=True):
    """What takes the place of a missing value in rows of one group.

    Attributes:
        group: the values of the imputation's `by` columns, as text.
        fill: the value.
    """

    group: tuple[str, ...]
    fill: Scalar


class FittedColumn(Record, frozen=True):
    """What was learned of one column.

    Attributes:
        rule: what is mended.
        type: what the column is afterwards, in Iceberg's words.
        low: numbers below are outliers; None: none are.
        high: numbers above are outliers.
        fill: takes the place of a missing value; None: nothing does.
        fills: the same for groups, by group.
    """

    rule: ColumnCleaning
    type: str
    low: float | None = None
    high: float | None = None
    fill: Scalar | None = None
    fills: tuple[GroupFill, ...] = ()


class FittedCleaning(Record, frozen=True):
    """A policy fitted on training rows.

    Attributes:
        policy: what was asked for.
        rows: how many training rows it was fitted on.
        columns: what was learned, one entry for each of the policy's.
    """

    policy: Cleaning
    rows: int
    columns: tuple[FittedColumn, ...]

    @property
    def digest(self) -> Digest:
        """Of all of it: equal training rows and policy, equal digest."""
        return digest_of_value(self)


def read_fitted(data: bytes) -> FittedCleaning:
    """What `bucle.ground.core.encode` wrote of a fitted cleaning, e.g. a package's `cleaning.json`.

    Raises:
        CorruptRecord: it is none.
    """
    return decode(data, FittedCleaning, what="fitted cleaning")
