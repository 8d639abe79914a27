"""Mask: what is personal, as those see it who may not see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import polars as pl
from blake3 import blake3

from bucle.ground.keys import has_key, is_encrypted
from bucle.ground.project import Project
from bucle.ground.store import secret_of
from bucle.line.contracts import Breach, ContractReport
from bucle.line.data.access import check_access, kept_from_some, may_access
from bucle.line.data.pii import ColumnTag, pii_tags

__all__ = [
    "mask_breach",
    "mask_frame",
    "mask_report",
    "mask_rows",
    "mask_series",
    "mask_type",
    "masks_for",
    "project_key",
]

REDACTED = "***"
_PSEUDONYM_DIGITS = 24
_LAST = 4
_WITHOUT_VALUES = frozenset({"type", "required", "extra_columns", "nullable", "max_null_share"})
"""Rules of which a report speaks of the column, or counts. Of others, such as a mean or the newest instant, it may say
a value although it shows no row."""
_FIRST = 2


def masks_for(project: Project, table: str, *, at: str, principal: str = "") -> dict[str, ColumnTag]:
    """The tags by which a table's rows are masked for a principal; none for those who may see them as they are.

    Every door that shows or hands out rows asks here.

    Args:
        at: where the rows are read.
        principal: who asks; whoever opened the project unless given.
    Raises:
        Denied: the principal may not read the table.
        BadDataset: where the table lies cannot be known.
    """
    who = principal or project.actor
    check_access(project, who, "read", table, at=at)
    tags = pii_tags(project, table, at=at)
    return {} if tags and may_access(project, who, "unmask", table, at=at) else tags


def project_key(project: Project) -> bytes:
    """The key of a project's pseudonyms, made at first use in `.bucle/mask.key`; without it they lead nowhere."""
    return secret_of(project.state / "mask.key")


def mask_type(dtype: pl.DataType, tag: ColumnTag) -> pl.DataType:
    """The type a masked column has."""
    if dtype.is_nested():
        return dtype
    return pl.String() if tag.mask == "hash" else dtype


def mask_series(values: pl.Series, tag: ColumnTag, key: bytes) -> pl.Series:
    """Values as those see them who may not see them; a missing value stays missing."""
    dtype = values.dtype
    if tag.mask == "hash" and not dtype.is_nested():
        return _pseudonyms(values, key)
    if dtype == pl.String:
        return _text(values, tag)
    if tag.mask == "generalise" and (dtype.is_temporal() and dtype != pl.Time and not isinstance(dtype, pl.Duration)):
        return values.dt.truncate("1y").cast(dtype)
    if tag.mask == "generalise" and dtype.is_numeric() and not dtype.is_decimal():
        return _coarse(values)
    return pl.Series(values.name, [None], dtype=dtype).new_from_index(0, values.len())


def mask_frame(project: Project, rows: pl.DataFrame, tags: Mapping[str, ColumnTag]) -> pl.DataFrame:
    """Rows with their tagged columns masked."""
    named = [name for name in rows.columns if name in tags]
    if not named:
        return rows
    key = project_key(project)
    return rows.with_columns(mask_series(rows[name], tags[name], key) for name in named)


def mask_rows(project: Project, rows: pl.LazyFrame, tags: Mapping[str, ColumnTag]) -> pl.LazyFrame:
    """As `mask_frame`, of rows that are not read yet."""
    schema = rows.collect_schema() if tags else {}
    named = {name: tags[name] for name in schema if name in tags}
    if not named:
        return rows
    after = {name: mask_type(dtype, named[name]) if name in named else dtype for name, dtype in schema.items()}
    # What is asked of masked rows is not to be asked of the values below.
    return rows.map_batches(
        lambda part: mask_frame(project, part, named),
        schema=pl.Schema(after),
        streamable=True,
        predicate_pushdown=False,
        projection_pushdown=False,
    )


def mask_report(project: Project, report: ContractReport, branch: str) -> ContractReport:
    """A report without values that are personal, encrypted, or not for everybody: it stands in the log and on pages,
    whoever reads them.
    """
    told = (*report.breaches, *report.warnings, *report.set_aside)
    known = {table: pii_tags(project, table, at=branch) for table in {one.table for one in told}}
    secret = {table for table in known if is_encrypted(project, table) or has_key(project, table)}
    denied = kept_from_some(project, known, at=branch)

    def masked(breach: Breach) -> Breach:
        if breach.table in secret:
            return _bare(breach)
        without = _without(breach, known[breach.table])
        return mask_breach(without) if breach.table in denied else without

    parts = {name: tuple(map(masked, getattr(report, name))) for name in ("breaches", "warnings", "set_aside")}
    return msgspec.structs.replace(report, **parts)


def mask_breach(breach: Breach) -> Breach:
    """A breach in a table that not everybody may read: what it says of the column, or counts, and no value."""
    says_values = bool(breach.rows) or breach.rule not in _WITHOUT_VALUES
    found = "values that not everybody may see, which are not told here" if says_values else breach.found
    return msgspec.structs.replace(breach, rows=(), found=found)


def _bare(breach: Breach) -> Breach:
    """A breach in an encrypted table: no value of it may stand in the log."""
    return msgspec.structs.replace(breach, rows=(), found="values of an encrypted table, which are not told here")


def _without(breach: Breach, tags: Mapping[str, ColumnTag]) -> Breach:
    # Found by name in the joined text and among the rows' columns: a name may have a comma of its own.
    joined, shown = f", {breach.column}, ", {name for row in breach.rows for name in row}
    named = {column for column in tags if f", {column}, " in joined or column in shown}
    says_values = bool(breach.rows) or breach.rule not in _WITHOUT_VALUES
    rows = tuple({name: _hidden(name, value, tags) for name, value in row.items()} for row in breach.rows)
    found = "values that are masked" if named and says_values else breach.found
    return msgspec.structs.replace(breach, rows=rows, found=found)


def _hidden(name: str, value: Any, tags: Mapping[str, ColumnTag]) -> Any:
    return REDACTED if name in tags and value is not None else value


def _pseudonyms(values: pl.Series, key: bytes) -> pl.Series:
    """Each distinct value once: a keyed BLAKE3, so that nobody without the key can try values out."""
    texts = values.cast(pl.String) if values.dtype != pl.Binary else values.bin.encode("hex")
    known = texts.drop_nulls().unique()
    made = [blake3(text.encode(), key=key).hexdigest()[:_PSEUDONYM_DIGITS] for text in known]
    return texts.replace_strict(known, pl.Series(made, dtype=pl.String), default=None, return_dtype=pl.String).alias(
        values.name
    )


def _text(values: pl.Series, tag: ColumnTag) -> pl.Series:
    frame, column = values.to_frame("v"), pl.col("v")
    shown = {
        "redact": pl.lit(REDACTED),
        "partial": pl.when(column.str.len_chars() > 2 * _LAST)
        .then(pl.lit(REDACTED) + column.str.tail(_LAST))
        .otherwise(pl.lit(REDACTED)),
        "null": pl.lit(None, pl.String),
        "generalise": column.str.head(_FIRST) + pl.lit("…"),
    }[tag.mask]
    return frame.select(pl.when(column.is_null()).then(None).otherwise(shown).alias(values.name)).to_series()


def _coarse(values: pl.Series) -> pl.Series:
    """Numbers cut to two digits."""
    size = 10.0 ** (values.cast(pl.Float64).abs().log10().floor() - 1)
    cut = (values.cast(pl.Float64) / size).floor() * size
    shown = pl.when(values == 0).then(values).otherwise(cut.cast(values.dtype, strict=False))
    return pl.select(shown.alias(values.name)).to_series()
