"""Columns: what a table of runs shows of each run, as an address writes it: `metrics.auc`, `params.lr`, `actor`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import quote, unquote

from bucle.ground.core import Record

__all__ = [
    "FIELDS",
    "SCOPES",
    "SYSTEM",
    "Column",
    "as_order",
    "better_of",
    "column_of",
    "leading",
    "names_of",
    "smaller_is_better",
    "written",
    "written_names",
]

Scope = Literal["metrics", "params", "tags", ""]

SCOPES: tuple[Scope, ...] = ("metrics", "params", "tags")
"""What a run has under keys of its own."""

EXTREMES = ("min", "max")
"""What a table can be ordered by besides: the least and the greatest value of a metric."""

FIELDS = ("actor", "code", "seed", "inputs")
"""What every run has and a table shows when asked."""

ORDERS = {"started_at": "attributes.start_time", "ended_at": "attributes.end_time", "name": "attributes.run_name",
          "status": "attributes.status", "actor": "attributes.user_id"}  # fmt: skip
"""What a column is called in the grammar of searches."""

SYSTEM = "system/"
"""Metrics of the machine, not of the model, bear this before their name."""

HELD_OUT = re.compile(r"val|test|eval|dev|holdout")
"""Metrics with this in their name say how good a model is on what it has not seen."""

SMALLER = (
    "loss",
    "error",
    "brier",
    "ece",
    "rmse",
    "mae",
    "mse",
    "mape",
    "perplexity",
    "seconds",
    "latency",
    "duration",
)
"""Metrics with one of these in their name are better when smaller, unless the reader says otherwise."""


class Column(Record, frozen=True):
    """One column.

    Attributes:
        scope: `metrics`, `params`, `tags`; empty for what every run has.
        key: the key within the scope, or the field's name.
        smaller: of a metric, whether less is better.
    """

    scope: Scope
    key: str
    smaller: bool = False

    @property
    def name(self) -> str:
        """As an address writes it."""
        return f"{self.scope}.{self.key}" if self.scope else self.key


def column_of(name: str, better: Mapping[str, bool] | None = None) -> Column | None:
    """The column of a name; None when there is no such one.

    Args:
        better: metric -> whether smaller is better, where the reader chose.
    Example:
        >>> column_of("metrics.val/loss").smaller
        True
    """
    head, _, key = name.partition(".")
    for scope in SCOPES:
        if head == scope and key:
            return Column(scope=scope, key=key, smaller=scope == "metrics" and smaller_is_better(key, better))
    return Column(scope="", key=name) if name in FIELDS else None


def names_of(text: str) -> tuple[str, ...]:
    """The names an address lists with commas between; a comma within a name is written %2C.

    Example:
        >>> names_of("metrics.auc,params.a%2Cb")
        ('metrics.auc', 'params.a,b')
    """
    return tuple(dict.fromkeys(unquote(one) for one in text.split(",") if one))


def written_names(names: Iterable[str]) -> str:
    """Names as an address lists them; the inverse of `names_of`."""
    return ",".join(written(name) for name in names)


def written(name: str) -> str:
    """One name so that it can stand among others."""
    return quote(name, safe="/._-:@ ()[]=")


def better_of(text: str) -> dict[str, bool]:
    """Metric -> whether smaller is better, out of `loss:lower,auc:higher`."""
    pairs = (name.rpartition(":") for name in names_of(text))
    return {key: word == "lower" for key, _, word in pairs if key and word in ("lower", "higher")}


def leading(metric: str) -> tuple[bool, bool]:
    """Sorts metrics: those of held-out data first, those of the machine last."""
    return metric.startswith(SYSTEM), not HELD_OUT.search(metric)


def smaller_is_better(metric: str, chosen: Mapping[str, bool] | None = None) -> bool:
    """Whether less of a metric is better: as the reader chose, or as its name suggests."""
    if chosen and metric in chosen:
        return chosen[metric]
    return any(word in metric.lower() for word in SMALLER)


def as_order(sort: str) -> list[str]:
    """`-metrics.auc` in the grammar of searches; a bare key is a metric's. Nothing for nothing.

    Example:
        >>> as_order("-auc")
        ['metrics.`auc` DESC']
    """
    name, direction = sort.removeprefix("-"), "DESC" if sort.startswith("-") else "ASC"
    if not name:
        return []
    if name in ORDERS:
        return [f"{ORDERS[name]} {direction}"]
    head, _, rest = name.partition(".")
    scope, key = (head, rest) if rest and head in (*SCOPES, *EXTREMES) else ("metrics", name)
    mark = '"' if "`" in key else "`"
    return [f"{scope}.{mark}{key}{mark} {direction}"]
