import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bucle.ground.core import decode, encode
from bucle.ground.project import Project
from bucle.line import data, profiles
from bucle.line.profiles import TableProfile

START = datetime(2013, 1, 1, tzinfo=UTC)


def rows(seed: int = 1, size: int = 400, shift: float = 0.0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(shift, 2, size)
    return pl.DataFrame(
        {
            "id": [f"row-{number}" for number in range(size)],
            "x": x,
            "twice": x * 2 + 1,
            "spiky": random.pareto(1.0, size),
            "n": random.integers(0, 5, size),
            "often": [None if number % 3 else number for number in range(size)],
            "one": ["same"] * size,
            "none": pl.Series([None] * size, dtype=pl.Float64),
            "zero": [0] * (size - 5) + [1] * 5,
            "flag": random.random(size) < 0.3,
            "at": [START + timedelta(hours=int(h)) for h in random.integers(0, 5000, size)],
            "who": [f"p{number}@example.org" for number in range(size)],
            "last_name": ["Ruiz", "Sanz"] * (size // 2),
            "tags": [["a", "b"]] * size,
            "<b>odd</b> & name": ["<script>alert(1)</script>"] * (size - 1) + ["b"],
        }
    )


def test_figures_are_those_of_the_rows() -> None:
    frame = rows()
    made = profiles.measure(frame, "t", digest="d")
    of = {one.name: one for one in made.columns}
    assert (made.rows, made.duplicates, len(made.columns)) == (400, 0, 15)
    x = of["x"]
    assert x.mean == pytest.approx(frame["x"].mean())
    assert x.std == pytest.approx(frame["x"].std())
    assert (x.minimum, x.maximum) == (pytest.approx(frame["x"].min()), pytest.approx(frame["x"].max()))
    assert x.quantiles[2] == pytest.approx(frame["x"].median())
    assert list(x.counts) == np.histogram(frame["x"].to_numpy(), bins=20)[0].tolist()
    assert (of["often"].missing, of["none"].missing, of["zero"].zeros) == (266, 400, 395)
    assert of["flag"].mean == pytest.approx(frame["flag"].mean())
    assert (of["at"].minimum, sum(of["at"].counts)) == (frame["at"].min().isoformat(), 400)
    assert of["n"].top[0].count == frame["n"].value_counts()["count"].max()
    assert (of["one"].minimum, of["one"].distinct, of["tags"].kind) == (4, 1, "other")


def test_what_stands_out_is_told() -> None:
    told = {(one.column, one.kind) for one in profiles.measure(rows(), "t").alerts}
    assert told == {
        ("id", "unique"),
        ("x", "correlated"),
        ("spiky", "skewed"),
        ("often", "missing"),
        ("one", "constant"),
        ("none", "empty"),
        ("zero", "zeros"),
        ("who", "personal"),
        ("who", "unique"),
        ("last_name", "personal"),
        ("<b>odd</b> & name", "imbalanced"),
    } | ({("zero", "skewed")} & told)
    twice = pl.concat([rows(size=20), rows(size=20)])
    assert profiles.measure(twice, "t").duplicates == 20
    assert next(one.kind for one in profiles.measure(rows().clear(), "t").alerts) == "empty"


def test_values_that_may_be_personal_are_in_neither_json_nor_page() -> None:
    made = profiles.measure(rows(), "t")
    for text in (encode(made).decode(), profiles.page(made)):
        assert "@example.org" not in text
        assert "Ruiz" not in text
    assert "Ruiz" in profiles.page(profiles.measure(rows(), "t", show_personal=True))
    assert "same" not in profiles.page(profiles.measure(rows(), "t", hidden=["one"]))


def test_the_same_rows_give_the_same_bytes_however_they_lie() -> None:
    frame = rows(size=3000)
    parts = pl.concat([frame[start : start + 700] for start in range(0, 3000, 700)], rechunk=False)
    one, other = profiles.measure(frame, "t", digest="d"), profiles.measure(parts, "t", digest="d")
    assert encode(one) == encode(other)
    assert profiles.page(one) == profiles.page(other)
    assert decode(encode(one), TableProfile) == one


class Outside(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "embed", "base", "form"):
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    page = profiles.page(profiles.measure(rows(), "t"))
    seen = Outside()
    seen.feed(page)
    assert seen.found == []
    assert "url(" not in page
    assert "@import" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert re.search("prefers-color-scheme", page)


def test_two_snapshots_side_by_side() -> None:
    before = profiles.measure(rows(1).drop("flag"), "t")
    after = profiles.measure(rows(2, shift=4.0).drop("n").with_columns(pl.col("zero").cast(pl.String)), "t")
    made = profiles.compare(before, after)
    found = {one.name: one for one in made.changes}
    assert (found["flag"].change, found["n"].change, found["zero"].change) == ("added", "removed", "type")
    assert found["x"].mean_shift == pytest.approx(2.0, abs=0.5)
    assert "one" not in found
    page = profiles.page(made)
    assert page.count("The column is not there.") == 2
    assert "The mean moved by" in page
    assert profiles.compare(before, before).changes == ()


@given(
    st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**53), 2**53)), max_size=30),
    st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=30),
)
@example([1.7976931345e308], [None])
@example([1.7e308, -1.7e308, 0.5], [None, "a", "b"])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_rows_have_a_profile_and_a_page(numbers: list[float | None], texts: list[str | None]) -> None:
    size = min(len(numbers), len(texts))
    frame = pl.DataFrame(
        {
            "x": pl.Series(numbers[:size], dtype=pl.Float64, strict=False),
            "s": pl.Series(texts[:size], dtype=pl.String),
            "none": pl.Series([None] * size),
        }
    )
    made = profiles.measure(frame, "t")
    assert profiles.page(made)
    assert decode(encode(made), TableProfile).rows == size
    finite = frame["x"].drop_nulls()
    assert sum(made.columns[0].counts) == finite.filter(finite.is_finite()).len()
    assert profiles.measure(pl.DataFrame(), "t").columns == ()


def test_a_profile_is_bound_to_the_snapshot_and_not_to_the_commit(project: Project) -> None:
    data.commit(project, {"t": rows()}, message="rows")
    first = data.profile(project, "t")
    data.commit(project, {"other": rows(size=10)}, message="another table")
    assert encode(data.profile(project, "t")) == encode(first)
    assert first.digest == data.snapshot(project, "t").digest
    data.commit(project, {"t": rows(size=20)}, message="more")
    assert data.profile(project, "t").digest != first.digest
    with pytest.raises(data.NoSuchTable):
        data.profile(project, "none")
