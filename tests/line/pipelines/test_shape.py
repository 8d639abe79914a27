"""Values come back from the blob store as they went in, and equal values have equal digests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from polars.testing import assert_frame_equal

from bucle.ground.core import Record
from bucle.ground.store import LocalBlobs
from bucle.line.pipelines import Artifact, NotTyped, ValueNotKept
from bucle.line.pipelines.artifact import keep_leaf, read_leaf
from bucle.line.pipelines.shape import Leaf, assemble, disassemble, shape_of


class Parts(NamedTuple):
    train: pl.DataFrame
    rows: int


class Score(Record, frozen=True):
    mean: float
    on: date


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def trip(blobs: LocalBlobs, annotation: Any, value: Any, scratch: Path) -> Any:
    shape = shape_of(annotation, "x")
    kept = {
        name: keep_leaf(blobs, shape.leaf(name), part, where="x", scratch=scratch)
        for name, part in disassemble(shape, value).items()
    }
    return assemble(shape, {name: read_leaf(blobs, shape.leaf(name), digest) for name, digest in kept.items()})


FRAME = pl.DataFrame({"a": [1, 2, None], "s": ["x", None, "a longer string than twelve bytes"]})

VALUES: list[tuple[Any, Any]] = [
    (int, 3),
    (float, 0.1),
    (str, "ñ"),
    (bool, True),
    (None, None),
    (Optional[int], None),  # noqa: UP045
    (dict[str, float], {"auc": 0.7}),
    (list[dict[str, int]], [{"a": 1}]),
    (tuple[int, str], (1, "a")),
    (Score, Score(mean=0.5, on=date(2013, 1, 1))),
    (datetime, datetime(2013, 1, 1, tzinfo=UTC)),
    (bytes, b"\x00\xff"),
    (bytes | None, None),
    (dict[str, bytes], {"a": b"1", "b.c": b"2"}),
    (list[bytes], [b"%d" % at for at in range(12)]),
    (tuple[bytes, ...], (b"1", b"2")),
    (tuple[bytes, int], (b"1", 2)),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=str)
def test_a_value_comes_back_as_it_went_in(blobs: LocalBlobs, tmp_path: Path, annotation: Any, value: Any) -> None:
    assert trip(blobs, annotation, value, tmp_path) == value


def test_a_named_tuple_of_a_frame_comes_back(blobs: LocalBlobs, tmp_path: Path) -> None:
    got = trip(blobs, Parts, Parts(FRAME, 3), tmp_path)
    assert isinstance(got, Parts)
    assert got.rows == 3
    assert_frame_equal(got.train, FRAME)


def test_every_kind_of_column_comes_back(blobs: LocalBlobs, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "cat": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "enum": pl.Series(["lo", "hi", None], dtype=pl.Enum(["lo", "hi"])),
            "date": [date(2013, 1, 1), None, date(2013, 1, 3)],
            "at": [datetime(2013, 1, 1, tzinfo=UTC)] * 3,
            "list": [[1], [], None],
            "struct": [{"x": 1, "y": "a"}] * 3,
            "dec": [Decimal("1.10"), None, Decimal("2.20")],
            "bin": [b"a", b"", None],
            "null": [None] * 3,
            "u8": pl.Series([1, 2, 3], dtype=pl.UInt8),
            "f32": pl.Series([1.5, float("nan"), None], dtype=pl.Float32),
        }
    )
    assert_frame_equal(trip(blobs, pl.DataFrame, frame, tmp_path), frame)
    assert trip(blobs, pl.DataFrame, frame[:0], tmp_path).schema == frame.schema


COLUMNS = [
    st.integers(-9, 9),
    st.text(max_size=30),
    st.booleans(),
    st.lists(st.none() | st.text(max_size=20), max_size=3),
]


@given(parts=st.lists(st.lists(st.tuples(*map(st.one_of, [st.none()] * 4, COLUMNS)), max_size=12), max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equal_frames_have_equal_digests_however_they_were_made(
    blobs: LocalBlobs, tmp_path: Path, parts: list[list[tuple[Any, ...]]]
) -> None:
    schema = {"n": pl.Int64, "s": pl.String, "b": pl.Boolean, "l": pl.List(pl.String)}
    whole = pl.DataFrame([row for part in parts for row in part], schema=schema, orient="row")
    chunks = [pl.DataFrame(part, schema=schema, orient="row") for part in parts]
    pieced = pl.concat([pl.DataFrame(schema=schema), *chunks], rechunk=False)
    doubled = pl.concat([whole, whole])
    # The same values once more, with something else lying under the nulls.
    filled = whole.with_columns(pl.col("n").fill_null(7), pl.col("s").fill_null("under"), pl.col("b").fill_null(True))
    masked = filled.select(pl.when(whole[name].is_not_null()).then(pl.col(name)).alias(name) for name in schema)
    leaf = Leaf("frame", pl.DataFrame)
    digests = {
        keep_leaf(blobs, leaf, frame, where="x", scratch=tmp_path)
        for frame in (whole, pieced, doubled[: whole.height], doubled.lazy().slice(whole.height).collect(), masked)
    }
    assert len(digests) == 1


@given(array=hnp.arrays(st.sampled_from(["f8", "f4", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, min_side=0)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_come_back_bit_for_bit(blobs: LocalBlobs, tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    got = trip(blobs, np.ndarray, array, tmp_path)
    assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
    got.flat[:1] = 1


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, float("nan")),
        (dict[str, float], {"a": float("inf")}),
        (int, "3"),
        (int, 2**70),
        (object, object()),
        (Any, {1, object()}),
        (pl.DataFrame, "frame"),
        (bytes, None),
        (np.ndarray, np.array([object()])),
        (pl.DataFrame, pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)})),
        (tuple[bytes, int], (b"1",)),
        (Parts, {"train": FRAME}),
        (Path, Path("/no/such/file")),
        (dict[str, bytes], {"": b"1"}),
    ],
)
def test_what_would_not_come_back_is_refused(blobs: LocalBlobs, tmp_path: Path, annotation: Any, value: Any) -> None:
    with pytest.raises(ValueNotKept):
        trip(blobs, annotation, value, tmp_path)


@pytest.mark.parametrize("annotation", [dict[str, list[pl.DataFrame]], list[dict[str, bytes]], dict[int, bytes]])
def test_parts_without_a_name_are_refused(annotation: Any) -> None:
    with pytest.raises(NotTyped):
        shape_of(annotation, "x")


def test_an_artifact_is_the_value_for_whoever_uses_it(blobs: LocalBlobs, tmp_path: Path) -> None:
    digest = keep_leaf(blobs, Leaf("frame", pl.DataFrame), FRAME, where="x", scratch=tmp_path)
    artifact = Artifact(blobs, "frame", digest)
    assert keep_leaf(blobs, Leaf("frame", pl.DataFrame), artifact, where="x", scratch=tmp_path) == digest
    assert (artifact.height, len(artifact), artifact["a"][0]) == (3, 3, 1)
    assert digest[:12] in repr(artifact)
    array = keep_leaf(blobs, Leaf("array", np.ndarray), np.arange(3), where="x", scratch=tmp_path)
    assert np.asarray(Artifact(blobs, "array", array)).sum() == 3
