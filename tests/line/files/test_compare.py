"""Differences of trees: what is told is what happened, and carrying it out gives the other tree."""

from hypothesis import given
from hypothesis import strategies as st

from bucle.line.files import FileEntry, diff, patch

PATHS = st.sampled_from(["a", "b", "c/a", "c/b", "d/e/f", "z"])
ENTRIES = st.builds(
    lambda number, mode: FileEntry(digest=f"{number:064d}", size_bytes=number, mode=mode),
    st.integers(0, 3),
    st.sampled_from([0o644, 0o755]),
)
TREES = st.dictionaries(PATHS, ENTRIES)


@given(TREES, TREES)
def test_a_difference_carried_out_gives_the_other_tree(a: dict[str, FileEntry], b: dict[str, FileEntry]) -> None:
    assert patch(a, diff(a, b)) == b
    assert patch(b, diff(b, a)) == a


@given(TREES, TREES)
def test_every_change_is_told_once_and_nothing_else(a: dict[str, FileEntry], b: dict[str, FileEntry]) -> None:
    found = diff(a, b)
    assert [one.path for one in found] == sorted({one.path for one in found})
    named = {one.path for one in found} | {one.path_before for one in found if one.path_before}
    assert named == {path for path in {*a, *b} if a.get(path) != b.get(path)}
    assert all(a[one.path_before] == b[one.path] for one in found if one.change == "renamed")
    grown = sum(one.size_after - one.size_before for one in found)
    assert grown == sum(e.size_bytes for e in b.values()) - sum(e.size_bytes for e in a.values())


def test_a_rename_is_told_as_one() -> None:
    one, two = FileEntry("1" * 64, 5), FileEntry("2" * 64, 7)
    a = {"old": one, "same": two, "edited": one, "gone": two}
    b = {"new": one, "same": two, "edited": two}
    told = [(d.path, d.change, d.size_before, d.size_after, d.path_before) for d in diff(a, b)]
    assert told == [("edited", "changed", 5, 7, ""), ("gone", "removed", 7, 0, ""), ("new", "renamed", 5, 5, "old")]
