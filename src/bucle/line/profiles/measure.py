"""Measuring a table's rows: a few passes, the same figures for the same rows however they lie in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from bucle.line.contracts import type_of
from bucle.line.profiles.alerts import alerts_of
from bucle.line.profiles.personal import LOOKED_AT, personal_by_name, personal_by_values
from bucle.line.profiles.profile import ColumnProfile, Correlation, Kind, TableProfile, ValueCount

__all__ = ["measure"]

BINS = 20
TOP = 10
SHOWN = 60
"""A value longer than this is cut."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

EXACT_ROWS = 1_000_000
"""In longer tables different values are estimated."""

MOST_NUMBERS = 40
"""Correlations are measured between the first so many numbers."""

KEPT_CORRELATIONS = 100


def measure(
    frame: pl.DataFrame, table: str, *, digest: str = "", hidden: Iterable[str] = (), show_personal: bool = False
) -> TableProfile:
    """What the rows of a table look like.

    Args:
        frame: the rows.
        table: what they are called.
        digest: of the snapshot they are.
        hidden: columns whose values are not shown.
        show_personal: whether to show values of columns that may be personal.
    Cost: a few passes; a sort of each number. Text is counted value by value.
    """
    rows = frame.rechunk()
    found = rows.select(_measures(rows.schema, rows.height)).row(0, named=True) if rows.width else {}
    tops = {name: _top(rows, name) for name, dtype in rows.schema.items() if _is_counted(dtype)}
    personal = {name: what for name in rows.columns if (what := _personal(rows, name, tops.get(name)))}
    unseen = {*hidden, *(() if show_personal else personal)}
    columns = [_column(rows, name, found, tops, unseen) for name in rows.columns]
    correlations = tuple(_correlations(rows))
    duplicates = rows.height - int(rows.hash_rows().n_unique()) if rows.width and rows.height else 0
    return TableProfile(
        table=table,
        digest=digest,
        rows=rows.height,
        duplicates=duplicates,
        columns=tuple(columns),
        correlations=correlations,
        alerts=tuple(alerts_of(columns, rows.height, duplicates, correlations, personal)),
    )


def _kind(dtype: pl.DataType) -> Kind:
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if dtype == pl.Boolean:
        return "boolean"
    return "instant" if isinstance(dtype, pl.Date | pl.Datetime) else "other"


def _is_counted(dtype: pl.DataType) -> bool:
    return _kind(dtype) in ("text", "boolean") or dtype.is_integer()


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    return column.fill_nan(None) if dtype.is_float() else column


def _measures(schema: Mapping[str, pl.DataType], rows: int) -> Iterator[pl.Expr]:
    """All figures of all columns: `COLUMN|figure`."""
    for name, dtype in schema.items():
        value, kind = _value(name, dtype), _kind(dtype)
        figures = {"missing": value.null_count()}
        if not dtype.is_nested() and dtype != pl.Null:
            few = value.drop_nulls().n_unique() if rows <= EXACT_ROWS else value.drop_nulls().approx_n_unique()
            figures["distinct"] = few
        if kind == "number":
            figures |= _of_number(value.cast(pl.Float64))
        elif kind == "text":
            length = value.cast(pl.String).str.len_chars()
            figures |= {"minimum": length.min(), "maximum": length.max(), "mean": length.mean(), "std": length.std()}
        elif kind == "boolean":
            figures["mean"] = value.mean()
        elif kind == "instant":
            figures |= {"minimum": value.min(), "maximum": value.max()}
        yield from (one.alias(f"{name}|{figure}") for figure, one in figures.items())


def _of_number(value: pl.Expr) -> dict[str, pl.Expr]:
    finite = pl.when(value.is_finite()).then(value)
    return {
        "minimum": value.min(),
        "maximum": value.max(),
        "mean": finite.mean(),
        "std": finite.std(),
        "skewness": finite.skew(),
        "zeros": (value == 0).sum(),
        "negatives": (value < 0).sum(),
        "quantiles": finite.quantile(list(QUANTILES), "linear").implode(),
    }


def _column(
    rows: pl.DataFrame,
    name: str,
    found: Mapping[str, Any],
    tops: Mapping[str, Sequence[ValueCount]],
    unseen: Iterable[str],
) -> ColumnProfile:
    dtype = rows.schema[name]
    kind, is_hidden = _kind(dtype), name in unseen
    of = {figure: found.get(f"{name}|{figure}") for figure in _FIGURES}
    edges, counts = _histogram(rows, name, of) if kind in ("number", "instant") and not is_hidden else ((), ())
    hides_limits = is_hidden and kind != "text"
    return ColumnProfile(
        name=name,
        type=type_of(dtype),
        kind=kind,
        missing=int(of["missing"] or 0),
        distinct=None if of["distinct"] is None else int(of["distinct"]),
        is_distinct_exact=rows.height <= EXACT_ROWS,
        minimum=None if hides_limits else _limit(of["minimum"]),
        maximum=None if hides_limits else _limit(of["maximum"]),
        mean=_rounded(of["mean"]),
        std=_rounded(of["std"]),
        skewness=_rounded(of["skewness"]),
        zeros=of["zeros"],
        negatives=of["negatives"],
        quantiles=() if is_hidden else _quantiles(of["quantiles"]),
        edges=edges,
        counts=counts,
        top=() if is_hidden else tuple(tops.get(name, ())),
        is_hidden=is_hidden,
    )


_FIGURES = (
    "missing", "distinct", "minimum", "maximum", "mean", "std", "skewness", "zeros", "negatives", "quantiles",
)  # fmt: skip


def _histogram(rows: pl.DataFrame, name: str, of: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    dtype = rows.schema[name]
    value = _value(name, dtype)
    if isinstance(dtype, pl.Datetime):
        value = value.dt.epoch("us")
    elif dtype == pl.Date:
        value = value.cast(pl.Datetime("us")).dt.epoch("us")
    number = value.cast(pl.Float64)
    inside = rows.lazy().select(number.alias("x")).filter(pl.col("x").is_finite())
    low, high = inside.select(pl.col("x").min().alias("low"), pl.col("x").max().alias("high")).collect().row(0)
    if low is None:
        return (), ()
    width = (high - low) / BINS
    if not math.isfinite(width) or width <= 0 or low + width == low:
        return (_round(low), _round(high)), (inside.select(pl.len()).collect().item(),)
    bin_of = ((pl.col("x") - low) / width).floor().clip(0, BINS - 1).cast(pl.Int32)
    counted = dict(inside.select(bin_of.alias("bin")).group_by("bin").len().collect().rows())
    edges = (*(_round(low + width * number) for number in range(BINS)), _round(high))
    return edges, tuple(int(counted.get(number, 0)) for number in range(BINS))


def _top(rows: pl.DataFrame, name: str) -> list[ValueCount]:
    text = pl.col(name).cast(pl.String)
    counted = rows.lazy().select(text.alias("value")).drop_nulls().group_by("value").len("count")
    found = counted.sort(["count", "value"], descending=[True, False]).head(TOP).collect()
    return [ValueCount(value=_cut(value), count=count) for value, count in found.rows()]


def _personal(rows: pl.DataFrame, name: str, top: Sequence[ValueCount] | None) -> str:
    by_name = personal_by_name(name)
    if by_name or top is None or rows.schema[name] != pl.String:
        return by_name
    return personal_by_values(rows[name].drop_nulls().unique().sort().head(LOOKED_AT))


def _correlations(rows: pl.DataFrame) -> list[Correlation]:
    names = [name for name, dtype in rows.schema.items() if dtype.is_numeric()][:MOST_NUMBERS]
    pairs = list(itertools.combinations(names, 2))
    if not pairs or rows.height < 2:
        return []
    numbers = rows.select(_value(name, rows.schema[name]).cast(pl.Float64) for name in names)
    found = numbers.select(pl.corr(a, b).alias(str(number)) for number, (a, b) in enumerate(pairs)).row(0)
    told = [
        Correlation(a=a, b=b, r=round(max(-1.0, min(1.0, r)), 6))
        for (a, b), r in zip(pairs, found, strict=True)
        if r is not None and math.isfinite(r)
    ]
    return sorted(told, key=lambda one: (-abs(one.r), one.a, one.b))[:KEPT_CORRELATIONS]


def _limit(value: Any) -> str | float | None:
    if isinstance(value, int | float):
        return _rounded(value)
    return None if value is None else str(value.isoformat())


def _rounded(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else _round(float(value))


def _round(value: float) -> float:
    """Ten digits: what sums add up to beyond them depends on how rows lie in memory."""
    rounded = float(f"{value:.10g}")
    return rounded if math.isfinite(rounded) else value  # the largest floats would become infinite


def _quantiles(value: Any) -> tuple[float, ...]:
    """None where the numbers between two values cannot be told: those lie too far apart for a float."""
    found = tuple(_flat(value))
    return tuple(map(_round, found)) if all(map(math.isfinite, found)) else ()


def _flat(value: Any) -> Iterator[float]:
    for one in value or ():
        for inner in one if isinstance(one, list) else [one]:
            if inner is not None:
                yield float(inner)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
