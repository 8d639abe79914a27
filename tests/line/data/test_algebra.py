"""Branches of a table against sets of rows: whatever is merged, picked or undone, no row is lost, doubled, misread."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from pyiceberg.table import StaticTable

from bucle.line import data
from line.data.machine import OfProject, check

PLACE = st.integers(0, 20)
COLUMN = st.sampled_from("abc")
Row = dict[str, Any]


class Branches(OfProject):
    """Anything that can happen to a table on some branches; each row written has a number of its own.

    What a step leads to is known by the numbers: `rows` has those of each commit. The values of a row are those it was
    written with, or null where its column was dropped.
    """

    @initialize()
    def begin(self) -> None:
        self.project = self.fresh()
        self.written: dict[int, Row] = {}
        self.rows: dict[str, Counter[int]] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.heads: dict[str, str] = {}
        self._append("main", 2, [])
        for name in ("one", "two"):
            data.create_branch(self.project, name)
            self.heads[name] = self.heads["main"]

    def teardown(self) -> None:
        if hasattr(self, "heads"):
            assert data.verify_files(self.project) == []
            self.project.close()

    @rule(place=PLACE, count=st.integers(1, 3), columns=st.lists(COLUMN, max_size=2, unique=True))
    def append(self, place: int, count: int, columns: list[str]) -> None:
        self._append(self._branch(place), count, columns)

    @rule(place=PLACE, step=st.integers(2, 4))
    def delete(self, place: int, step: int) -> None:
        branch = self._branch(place)
        before = self.rows[self.heads[branch]]
        made = data.delete(self.project, "t", f"n % {step} = 0", branch=branch, message="delete")
        self._took(branch, made, Counter({n: count for n, count in before.items() if n % step}))

    @rule(place=PLACE)
    def compact(self, place: int) -> None:
        branch = self._branch(place)
        self._took(branch, data.compact(self.project, "t", branch=branch), self.rows[self.heads[branch]])

    @rule(place=PLACE, column=COLUMN, what=st.sampled_from(["add {} long", "drop {}", "move n first", "rename {} d"]))
    def alter(self, place: int, column: str, what: str) -> None:
        branch = self._branch(place)
        try:
            made = data.alter(self.project, "t", [what.format(column)], branch=branch)
        except data.BadAlteration:
            return
        self._took(branch, made, self.rows[self.heads[branch]])

    @rule(place=PLACE, by=st.sampled_from(["n", "bucket(4, n)", "nothing"]))
    def part(self, place: int, by: str) -> None:
        branch = self._branch(place)
        made = data.alter(self.project, "t", [f"partition by {by}"], branch=branch)
        self._took(branch, made, self.rows[self.heads[branch]])

    @rule(place=PLACE, other=PLACE)
    def merge(self, place: int, other: int) -> None:
        into, source = self._branch(place), self._branch(other)
        ours, theirs = self._ancestors(self.heads[into]), self._ancestors(self.heads[source])
        base = next(one for one in reversed(self.parents) if one in ours & theirs)
        if base in (self.heads[into], self.heads[source]):
            head = data.merge(self.project, source, into, message="merge")
            assert head.id == self.heads[source if base == self.heads[into] else into]
            self._took(into, head, self.rows[head.id])
            return
        self._three_way(into, base, self.heads[source], lambda: data.merge(self.project, source, into, message="m"))

    @rule(place=PLACE, back=PLACE)
    def pick(self, place: int, back: int) -> None:
        into, picked = self._branch(place), self._commit(back)
        if self.parents[picked]:
            base = self.parents[picked][0]
            self._three_way(into, base, picked, lambda: data.cherry_pick(self.project, picked, into))

    @rule(place=PLACE, back=PLACE)
    def revert(self, place: int, back: int) -> None:
        branch, undone = self._branch(place), self._commit(back)
        if self.parents[undone]:
            base = self.parents[undone][0]
            self._three_way(branch, undone, base, lambda: data.revert(self.project, undone, branch))

    @rule(place=PLACE, back=PLACE)
    def restore(self, place: int, back: int) -> None:
        branch, wanted = self._branch(place), self._commit(back)
        try:
            made = data.restore(self.project, wanted, branch)
        except data.EmptyCommit:
            return
        assert made.tables == data.resolve(self.project, wanted).tables
        self._took(branch, made, self.rows[wanted])

    def _branch(self, place: int) -> str:
        return sorted(self.heads)[place % len(self.heads)]

    def _commit(self, back: int) -> str:
        return list(self.rows)[-1 - back % len(self.rows)]

    def _ancestors(self, commit: str) -> set[str]:
        found, looking = set[str](), [commit]
        while looking:
            one = looking.pop()
            if one not in found:
                found.add(one)
                looking += self.parents[one]
        return found

    def _append(self, branch: str, count: int, columns: list[str]) -> None:
        new = range(len(self.written), len(self.written) + count)
        rows = [{"n": n, **{column: 100 * n + place for place, column in enumerate(columns)}} for n in new]
        self.written |= {row["n"]: row for row in rows}
        before = self.rows.get(self.heads.get(branch, ""), Counter[int]())
        made = data.commit(self.project, {"t": pl.DataFrame(rows)}, branch=branch, message="append")
        self._took(branch, made, before + Counter(new))

    def _three_way(self, branch: str, base: str, theirs: str, act: Any) -> None:
        """What `base` -> `theirs` did is done to the branch, or refused; nothing in between."""
        old, mine, their = self.rows[base], self.rows[self.heads[branch]], self.rows[theirs]
        try:
            made = act()
        except (data.Conflict, data.EmptyCommit):
            return
        found = self._read(made)
        if old == their:
            assert found == mine
        elif mine == old:
            assert found == their
        elif not old - their:
            # Rows that came on both sides, by a pick, came once if they still lie in the same files.
            assert not mine - found
            assert not (their - old) - found
            assert not found - (mine + (their - old))
        else:
            assert mine == their or not their - old, "a table that both changed was put together"
            assert found == mine - (old - their)
        self._took(branch, made, found)

    def _took(self, branch: str, made: data.Commit, expected: Counter[int]) -> None:
        found = self._read(made)
        assert found == expected
        self.rows.setdefault(made.id, found)
        self.parents[made.id] = made.parents
        self.heads[branch] = made.id

    def _read(self, commit: data.Commit) -> Counter[int]:
        """The numbers of a commit's rows; every engine sees the same, and no value that was written elsewhere."""
        rows = data.scan(self.project, "t", at=commit.id).to_dicts()
        location = f"file://{self.project.state}/{commit.tables['t'].metadata_location}"
        assert _same(StaticTable.from_metadata(location).scan().to_arrow().to_pylist(), rows)
        assert commit.tables["t"].rows == len(rows)
        for row in rows:
            written = self.written[row["n"]]
            for column in "abc":
                assert row.get(column) in (None, written.get(column))
        return Counter(row["n"] for row in rows)


def _same(some: list[Row], others: list[Row]) -> bool:
    counted = [Counter(tuple(sorted(row.items())) for row in rows) for rows in (some, others)]
    return counted[0] == counted[1]


def test_no_row_is_lost_doubled_or_misread(migrated_file: Path, tmp_path: Path) -> None:
    check(Branches, migrated_file, tmp_path, examples=12, steps=15)


@pytest.mark.full
def test_no_row_is_lost_doubled_or_misread_in_long_histories(migrated_file: Path, tmp_path: Path) -> None:
    check(Branches, migrated_file, tmp_path, examples=150, steps=40)
