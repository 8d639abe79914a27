"""FeatureView: features of an entity over time; RequestView: features of the request itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from bucle.ground.code import CodeReader
from bucle.ground.core import Ref, check_name, digest_of_value, make_ref, short
from bucle.line.features.errors import BadView, WrongRows

__all__ = ["EVENT_AT", "INSTANT", "FeatureView", "RequestView", "Source", "View", "feature_view", "request_view"]

EVENT_AT = "event_at"
"""The column of a view's rows that says from which instant on a row holds."""

INSTANT = pl.Datetime("us", "UTC")
"""The type of every instant."""

_TYPES = (pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.String, pl.Boolean)


@dataclass(frozen=True, slots=True)
class Source:
    """A table that a view reads.

    Attributes:
        table: its name; the view's function has a parameter of this name.
        known_at: the column that says when a row became known; rows known at or after the end of the computed window
            are hidden from the function. None for tables that do not change with time.
    """

    table: str
    known_at: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Features of an entity that change over time, computed from tables.

    The function gets one `pl.DataFrame` per source, by name, and returns rows of the key columns, `event_at` and the
    declared features. A row holds from its `event_at` until the entity's next row, at most `ttl` long. A row may use
    only what was known at its `event_at`: `features.check_no_peeking` proves it.

    Attributes:
        name: unique in the project.
        keys: the columns that identify the entity.
        schema: feature -> Polars type (Float64, Float32, Int64, Int32, String, Boolean).
        sources: the tables it reads.
        ttl: how long a row may be used; None for ever.
        lookback: how much of the sources' past a row needs; None for all.
        function: the computation.
        digest: the name of this definition: changes with its code and settings.
    """

    name: str
    keys: tuple[str, ...]
    schema: Mapping[str, pl.DataType | type[pl.DataType]]
    sources: tuple[Source, ...]
    ttl: timedelta | None
    lookback: timedelta | None
    function: Callable[..., pl.DataFrame]
    digest: str

    def __call__(self, **sources: pl.DataFrame) -> pl.DataFrame:
        """The view's rows, checked against its schema and sorted by `event_at`.

        Raises:
            WrongRows: a column is missing or has another type.
        """
        expected = dict.fromkeys(self.keys) | {EVENT_AT: INSTANT} | dict(self.schema)
        return _checked(self.function(**sources), expected, self.name).sort(EVENT_AT, *self.keys)

    @property
    def pin(self) -> str:
        """`name@digest`, as a model package carries it."""
        return f"{self.name}@{short(self.digest)}"

    @property
    def ref(self) -> Ref:
        """The view as a ref."""
        return make_ref("features", self.name, short(self.digest))


@dataclass(frozen=True, slots=True)
class RequestView:
    """Features computed from the request's own columns, the same at training and at serving.

    Attributes:
        name: unique in the project.
        inputs: the columns it reads; features of feature views may be among them.
        schema: feature -> Polars type.
        function: frame of the inputs -> frame of the features, of the same height.
        digest: the name of this definition: changes with its code and settings.
    """

    name: str
    inputs: tuple[str, ...]
    schema: Mapping[str, pl.DataType | type[pl.DataType]]
    function: Callable[[pl.DataFrame], pl.DataFrame]
    digest: str

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The features for every row of a frame that has the inputs.

        Raises:
            WrongRows: a column is missing, has another type, or rows were lost.
        """
        rows = _checked(self.function(frame[list(self.inputs)]), dict(self.schema), self.name)
        if rows.height != frame.height:
            raise WrongRows(f"View {self.name!r} gave {rows.height} rows for {frame.height}.", fix="Do not filter.")
        return rows

    @property
    def pin(self) -> str:
        """`name@digest`, as a model package carries it."""
        return f"{self.name}@{short(self.digest)}"

    @property
    def ref(self) -> Ref:
        """The view as a ref."""
        return make_ref("features", self.name, short(self.digest))


View = FeatureView | RequestView


def feature_view(
    *,
    keys: Sequence[str],
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    sources: Sequence[Source | str],
    ttl: timedelta | None = None,
    lookback: timedelta | None = None,
) -> Callable[[Callable[..., pl.DataFrame]], FeatureView]:
    """Make a function a `FeatureView` of the same name; arguments as its attributes.

    Raises:
        BadView: a name, a type or a parameter does not fit.
    Example:
        >>> @feature_view(keys=["shop"], schema={"sales": pl.Float64}, sources=[Source("sales", "known_at")])
        ... def shop_sales(sales: pl.DataFrame) -> pl.DataFrame:
        ...     return sales.select("shop", pl.col("known_at").alias("event_at"), "sales")
        >>> shop_sales.keys
        ('shop',)
    """
    given = tuple(Source(source) if isinstance(source, str) else source for source in sources)

    def make(function: Callable[..., pl.DataFrame]) -> FeatureView:
        name = _check(function, schema)
        parameters = set(inspect.signature(function).parameters)
        if parameters != {source.table for source in given}:
            raise BadView(
                f"View {name!r} takes {sorted(parameters)} but reads {sorted(s.table for s in given)}.",
                why="Each source arrives as the parameter of its name.",
                fix="Make the parameters and the sources agree.",
            )
        if clash := {*keys, EVENT_AT} & set(schema):
            raise BadView(f"View {name!r} declares {sorted(clash)} as features.", fix="Give the features other names.")
        settings = [name, keys, _text(schema), [[s.table, s.known_at] for s in given], str(ttl), str(lookback)]
        return FeatureView(name, tuple(keys), dict(schema), given, ttl, lookback, function, _digest(function, settings))

    return make


def request_view(
    *, inputs: Sequence[str], schema: Mapping[str, pl.DataType | type[pl.DataType]]
) -> Callable[[Callable[[pl.DataFrame], pl.DataFrame]], RequestView]:
    """Make a function a `RequestView` of the same name; arguments as its attributes.

    Raises:
        BadView: a name or a type does not fit.
    """

    def make(function: Callable[[pl.DataFrame], pl.DataFrame]) -> RequestView:
        name = _check(function, schema)
        digest = _digest(function, [name, inputs, _text(schema)])
        return RequestView(name, tuple(inputs), dict(schema), function, digest)

    return make


def _check(function: Callable[..., pl.DataFrame], schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> str:
    name = check_name(getattr(function, "__name__", ""), "feature view")
    for feature, kind in schema.items():
        if kind not in _TYPES:
            may_be = f"It may be {', '.join(t.__name__ for t in _TYPES)}."
            raise BadView(f"Feature {feature!r} of view {name!r} is {kind}.", why=may_be, fix="Cast it.")
    return name


def _checked(
    rows: pl.DataFrame, expected: Mapping[str, pl.DataType | type[pl.DataType] | None], name: str
) -> pl.DataFrame:
    for column, kind in expected.items():
        if column not in rows.columns:
            gave = f"It gave {rows.columns}."
            raise WrongRows(f"View {name!r} gave no column {column!r}.", why=gave, fix="Select it.")
        if kind is not None and rows.schema[column] != kind:
            raise WrongRows(
                f"View {name!r} gave {column!r} as {rows.schema[column]}, declared {kind}.",
                why="A model reads exactly the declared types.",
                fix=f"Cast it: pl.col({column!r}).cast(...).",
            )
    return rows[list(expected)]


def _digest(function: Callable[..., pl.DataFrame], settings: Sequence[object]) -> str:
    """Of the settings, the function's source, and all the project's code it reaches."""
    file = Path(inspect.getfile(function)).resolve()
    if function.__qualname__ != function.__name__:  # defined within another function: its own source must do
        return digest_of_value([inspect.getsource(function), settings])
    return digest_of_value([CodeReader(file.parent).read(file, function.__name__).digest, settings])


def _text(schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> list[list[str]]:
    return [[name, str(kind)] for name, kind in schema.items()]
