"""`bucle data`: tags, undoing, searching, protected branches, reviews."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from doors.cli.typed import Bucle


class Shop:
    """A project with a table of sales.

    Args:
        bucle: the command.
        root: its folder.
    """

    def __init__(self, bucle: Bucle, root: Path) -> None:
        self.bucle, self.root = bucle, root

    def __call__(self, *words: str, **options: str):
        return self.bucle("data", words[0], "--project", str(self.root), *words[1:], **options)

    def add(self, *prices: float, branch: str = "main") -> str:
        path = self.root / "batch.csv"
        path.write_text("price\n" + "".join(f"{price}\n" for price in prices))
        said = self("add", str(path), "--table", "sales", "--branch", branch, "--json")
        assert said.status == 0, said.err
        return str(said.record["id"])

    def prices(self, at: str = "main") -> list[float]:
        return [row["price"] for row in self("show", "sales", "--at", at, "--rows", "99", "--json").record["sample"]]


@pytest.fixture
def shop(bucle: Bucle, empty: Path) -> Shop:
    return Shop(bucle, empty)


def test_a_tag_reads_like_a_branch(shop: Shop) -> None:
    first = shop.add(1.0)
    assert shop("tag", "create", "trained-on", "--message", "March").status == 0
    shop.add(2.0)
    assert shop.prices("trained-on") == [1.0]
    assert shop("tag", "list", "--json").record[0]["commit"] == first
    assert shop("tag", "delete", "trained-on").status == 0
    assert shop("show", "sales", "--at", "trained-on").status == 3
    assert shop("tag", "create").status == 2


def test_revert_and_cherry_pick(shop: Shop) -> None:
    shop.add(1.0)
    wrong = shop.add(-9.0)
    shop.add(2.0)
    assert shop("revert", wrong).status == 0
    assert shop.prices() == [1.0, 2.0]
    assert shop("cherry-pick", wrong, "--message", "it was right").status == 0
    assert shop.prices() == [1.0, 2.0, -9.0]
    assert shop("revert", "nothing").status == 3


def test_a_bisection_runs_a_command_at_each_commit(shop: Shop) -> None:
    commits = [shop.add(float(price)) for price in (1, 2, 3, -4, 5, 6)]
    check = shop.root / "check.py"
    check.write_text(
        "import os, sys\n"
        "from bucle.ground.project import Project\n"
        "from bucle.line import data\n"
        "rows = data.scan(Project.open(os.environ['BUCLE_PROJECT']), 'sales', at=os.environ['BUCLE_COMMIT'])\n"
        "sys.exit(1 if rows['price'].min() < 0 else 0)\n"
    )
    said = shop("bisect", commits[0], commits[-1], "--run", f"{sys.executable} {check}", "--json")
    assert said.status == 7
    assert [one["id"] for one in said.record["suspects"]] == [commits[3]]
    for command in ("", "'open", "sh -c 'kill -9 $$'"):
        assert shop("bisect", commits[0], commits[-1], "--run", command).status == 2
    assert shop("bisect", commits[-1], commits[0], "--run", "true").status == 2
    assert shop("bisect", commits[0], commits[-1], "--run", "/no/such/command").status == 2


def test_annotate_names_the_commit_of_a_row(shop: Shop) -> None:
    first, second = shop.add(1.0), shop.add(2.0)
    found = shop("annotate", "sales", "--json").record
    assert [one["commit"] for one in found] == [first, second]
    assert second[:12] in shop("annotate", "sales").out
    row = shop("annotate", "sales", "--where", "price > 1.5", "--json").record
    assert [(one["price"], one["_commit"]) for one in row] == [(2.0, second)]
    assert shop("annotate", "sales", "--where", "price >").status == 2


def test_the_rows_of_a_diff(shop: Shop) -> None:
    first = shop.add(1.0, 3.0)
    shop.add(2.0)
    found = shop("diff", first, "main", "--table", "sales", "--json").record
    assert (found["added"], found["removed"], found["rows"]["added"]) == (1, 0, [{"price": 2.0}])
    assert "1.0 → 2.0" not in shop("diff", first, "main", "--table", "sales").out
    assert shop("diff", first, "main", "--table", "sales", "--key", "cost").status == 2


def test_a_protected_branch_moves_by_an_approved_review(shop: Shop) -> None:
    shop.add(1.0)
    assert shop("branch", "create", "trial").status == 0
    shop.add(2.0, branch="trial")
    assert shop("protect", "add", "main").status == 0
    assert shop("merge", "trial").status != 0
    opened = shop("review", "open", "trial", "--title", "a sale more", "--json").record["number"]
    seen = shop("review", "show", str(opened))
    assert seen.status == 7
    assert "0 of 1 approvals" in seen.out
    assert shop("review", "approve", str(opened)).status == 4
    assert shop("review", "approve", str(opened), "--as", "eva").status == 0
    assert shop("review", "show", str(opened)).status == 0
    assert shop("review", "merge", str(opened)).status == 0
    assert shop.prices() == [1.0, 2.0]
    assert shop("review", "list", "--json").record == []
    assert shop("review", "list", "--all", "--json").record[0]["state"] == "merged"
    assert shop("protect", "remove", "main").status == 0
    assert shop("review", "show", "x").status == 2


def test_hooks_are_listed(shop: Shop) -> None:
    with (shop.root / "bucle.toml").open("a") as config:
        config.write('\n[data.hooks.gate]\non = "pre-merge"\nbranch = "main"\nurl = "http://127.0.0.1:9/ask"\n')
    assert shop("hooks", "--json").record == [
        {"name": "gate", "on": "pre-merge", "branch": "main", "asks": "http://127.0.0.1:9/ask"}
    ]
