"""Which datums a tree holds: the algebra of patterns."""

from __future__ import annotations

import fnmatch
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import digest_of
from bucle.line.datums import BadDatums, datums_in
from bucle.line.files import FOLDER, LINK, FileEntry


def tree(*paths: str) -> dict[str, FileEntry]:
    return {path: FileEntry(digest=digest_of(path.encode()), size_bytes=1) for path in paths}


def names(files: dict[str, FileEntry], over: object) -> list[str]:
    return [datum.name for datum in datums_in(files, over)]  # type: ignore[arg-type]


DAYS = tree("days/1/a.csv", "days/1/b.csv", "days/2/a.csv", "days/readme", "places/1.json", "places/3.json")


@pytest.mark.parametrize(
    ("over", "wanted"),
    [
        ("days/*", ["days/1", "days/2", "days/readme"]),
        ("days/*/*", ["days/1/a.csv", "days/1/b.csv", "days/2/a.csv"]),
        ("days/?/a.csv", ["days/1/a.csv", "days/2/a.csv"]),
        ("**.json", ["places/1.json", "places/3.json"]),
        ("*", ["days", "places"]),
        ("nowhere/*", []),
        ({"union": ["days/1", "places/*", "days/1"]}, ["days/1", "places/1.json", "places/3.json"]),
        ({"cross": ["days/1", "places/*"]}, ["days/1 + places/1.json", "days/1 + places/3.json"]),
        ({"join": ["days/(*)", "places/(*).json"]}, ["days/1 + places/1.json"]),
        ({"group": "days/*/(*).csv"}, ["days/1/a.csv + days/2/a.csv", "days/1/b.csv"]),
        (
            {"group": ["days/(*)", "places/(*).json"]},
            ["days/1 + places/1.json", "days/2", "days/readme", "places/3.json"],
        ),
    ],
    ids=str,
)
def test_what_a_pattern_matches(over: object, wanted: list[str]) -> None:
    assert names(DAYS, over) == wanted


def test_a_folder_comes_with_all_that_is_below() -> None:
    first, *_ = datums_in(DAYS, "days/*")
    assert list(first.files) == ["days/1/a.csv", "days/1/b.csv"]


def test_links_and_empty_folders_are_no_datums() -> None:
    odd = {
        "a/link": FileEntry(digest="0" * 64, size_bytes=1, mode=LINK),
        "a/x": FileEntry(digest="0" * 64, size_bytes=0, mode=FOLDER),
    }
    assert names(odd, "a/*") == []


@pytest.mark.parametrize(
    "over",
    ["", "/a", "a/", "a(b", "a)b(", "((a))", {}, {"cross": ["a"]}, {"cross": []}, {"join": ["a/*", "b/*"]},
     {"join": ["a/(*)", "b/*"]}, {"group": "a/*"}, {"cross": ["a", "b"], "union": ["c"]},
     {"cross": [1, 2]}, {"zip": ["a"]}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(over: object) -> None:
    with pytest.raises(BadDatums):
        datums_in(DAYS, over)  # type: ignore[arg-type]


words = st.text(st.sampled_from("ab.é "), min_size=1, max_size=3)
paths = st.lists(words, min_size=1, max_size=3).map("/".join)
trees = st.sets(paths, max_size=12).map(lambda found: tree(*found))
patterns = st.lists(st.text(st.sampled_from("ab.?*"), min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)


@given(trees, patterns.filter(lambda pattern: "**" not in pattern))
def test_each_file_is_in_one_datum_at_most_and_as_a_shell_would_match(
    files: dict[str, FileEntry], pattern: str
) -> None:
    found = datums_in(files, pattern)
    held = [path for datum in found for path in datum.files]
    assert len(held) == len(set(held))
    for path in files:
        begins = path.split("/")[: pattern.count("/") + 1]
        matched = len(begins) == pattern.count("/") + 1 and all(
            fnmatch.fnmatchcase(word, part) for word, part in zip(begins, pattern.split("/"), strict=True)
        )
        assert (path in held) == matched


@given(trees, patterns, patterns)
def test_union_has_both_and_cross_all_pairs(files: dict[str, FileEntry], one: str, other: str) -> None:
    left, right = datums_in(files, one), datums_in(files, other)
    both = {datum.key for datum in datums_in(files, {"union": [one, other]})}
    assert both == {datum.key for datum in (*left, *right)}
    assert len(datums_in(files, {"cross": [one, other]})) == prod((len(left), len(right)))


@given(trees)
def test_a_join_is_the_part_of_the_cross_that_agrees(files: dict[str, FileEntry]) -> None:
    joined = {datum.key for datum in datums_in(files, {"join": ["(*)/*", "*/(*)"]})}
    crossed = datums_in(files, {"cross": ["*/*", "*/*"]})
    agree = {one.key for one in crossed if one.parts[0].name.split("/")[0] == one.parts[1].name.split("/")[1]}
    assert joined == agree


@given(trees)
def test_groups_part_the_matches(files: dict[str, FileEntry]) -> None:
    grouped = [part.name for datum in datums_in(files, {"group": "(*)/*"}) for part in datum.parts]
    assert sorted(grouped) == sorted(names(files, "*/*"))


@given(trees, paths)
def test_a_key_says_path_and_content_and_nothing_else(files: dict[str, FileEntry], path: str) -> None:
    before = {datum.name: datum.key for datum in datums_in(files, "**")}
    changed = files | {path: FileEntry(digest=digest_of(b"new"), size_bytes=3)}
    after = {datum.name: datum.key for datum in datums_in(changed, "**")}
    assert {name for name in after if after[name] != before.get(name)} == {path}
