"""Media: pictures, tables and pages become files that other programs read back as what was given."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bucle.line.client.errors import BadMedia
from bucle.line.client.media import Figure, Html, Image, Media, Table, as_media

pillow = pytest.importorskip("PIL.Image")
SVG = b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def _only(medium: Media) -> tuple[str, bytes]:
    (part,) = medium.parts()
    return part.ending, part.content


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4)))
def test_another_library_reads_back_the_very_pixels(pixels: np.ndarray) -> None:
    ending, content = _only(Image(pixels))
    read = np.asarray(pillow.open(io.BytesIO(content)))
    assert ending == "png"
    assert np.array_equal(read.reshape(pixels.shape), pixels)


def test_floats_and_truth_values_are_scaled() -> None:
    read = np.asarray(pillow.open(io.BytesIO(_only(Image(np.array([[0.0, 0.5, 1.0]])))[1])))
    assert read.tolist() == [[0, 128, 255]]
    read = np.asarray(pillow.open(io.BytesIO(_only(Image(np.array([[True, False]])))[1])))
    assert read.tolist() == [[255, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        np.array([[0.0, 1.5]]), np.array([[np.nan]]), np.array([[-1]]), np.array([[256]]), np.zeros((2, 2, 5)),
        np.zeros(3), np.zeros((0, 3)), np.array([["a"]]), b"no picture", b"", object(), SVG, Path("/no/such.png"),
    ],

)  # fmt: skip
def test_what_is_no_picture_is_refused(wrong: object) -> None:
    with pytest.raises(BadMedia):
        list(Image(wrong).parts())


@pytest.mark.parametrize(("format_", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("WEBP", "webp")])
def test_ready_made_pictures_stay_byte_for_byte(format_: str, ending: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pillow.new("RGB", (2, 2)).save(buffer, format=format_)
    file = tmp_path / "picture"
    file.write_bytes(buffer.getvalue())
    assert _only(Image(buffer.getvalue())) == _only(Image(file)) == (ending, buffer.getvalue())


def test_a_figure_is_drawn() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3])
    for drawing in (figure, axes):
        medium = as_media(drawing)
        assert isinstance(medium, Figure)
        assert pillow.open(io.BytesIO(_only(medium)[1])).size[0] > 100
    assert _only(Figure(SVG)) == ("svg", SVG)
    with pytest.raises(BadMedia):
        list(Figure([1, 2]).parts())


@pytest.mark.parametrize(
    "rows",
    [
        pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
        [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
        {"a": [1, 2], "b": ["x", None]},
    ],
    ids=["polars", "dicts", "columns"],
)
def test_a_table_is_parquet_with_a_preview(rows: object) -> None:
    table, preview = Table(rows).parts()
    assert pl.read_parquet(io.BytesIO(table.content)).rows() == [(1, "x"), (2, None)]
    assert json.loads(preview.content) == {"columns": ["a", "b"], "rows": [[1, "x"], [2, None]], "count": 2}
    assert (table.ending, preview.ending) == ("parquet", "preview.json")


def test_tables_of_pandas_and_of_plain_rows() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.5, 2.5]})
    assert isinstance(as_media(frame), Table)
    for medium in (Table(frame), Table([[1.5], [2.5]], columns=["a"])):
        assert pl.read_parquet(io.BytesIO(next(medium.parts()).content)).rows() == [(1.5,), (2.5,)]


def test_a_table_of_mixed_kinds_is_json_lines() -> None:
    lines, preview = Table([{"a": 1}, {"a": "x", "b": {"c": np.float32(0.5)}}]).parts()
    assert lines.ending == "jsonl"
    assert [json.loads(line) for line in lines.content.splitlines()] == [{"a": 1}, {"a": "x", "b": {"c": 0.5}}]
    assert json.loads(preview.content)["columns"] == ["a", "b"]


def test_a_preview_is_short_and_says_how_many_there_are() -> None:
    _, preview = Table({"a": range(10_000)}).parts()
    told = json.loads(preview.content)
    assert (len(told["rows"]), told["count"]) == (100, 10_000)


@given(
    st.lists(
        st.dictionaries(st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.floats() | st.text()),
        max_size=5,
    )
)
def test_any_list_of_dicts_is_kept(rows: list[dict[str, object]]) -> None:
    first, preview = Table(rows).parts()
    assert json.loads(preview.content)["count"] == len(rows)
    assert first.ending in {"parquet", "jsonl"}


@pytest.mark.parametrize("rows", [3, "text", [1, 2], {"a": [1], "b": [1, 2]}, [object()]])
def test_what_is_no_table_is_refused(rows: object) -> None:
    with pytest.raises(BadMedia):
        list(Table(rows).parts())


def test_a_page_is_kept_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>ñ</p>")
    assert _only(Html("<p>ñ</p>")) == _only(Html(tmp_path / "page.html")) == ("html", "<p>ñ</p>".encode())
    with pytest.raises(BadMedia):
        list(Html(3).parts())  # type: ignore[arg-type]


def test_numbers_and_texts_are_no_media() -> None:
    assert [as_media(one) for one in (1, 0.5, "text", None, np.zeros(3), [1])] == [None] * 6
