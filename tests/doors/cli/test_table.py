"""`bucle data`: tables changed in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doors.cli.typed import Bucle


class Shop:
    """A project with a table of sales."""

    def __init__(self, bucle: Bucle, root: Path) -> None:
        self.bucle, self.root = bucle, root

    def __call__(self, *words: str) -> Any:
        return self.bucle("data", words[0], "--project", str(self.root), *words[1:])

    def file(self, text: str) -> str:
        path = self.root / "batch.csv"
        path.write_text(text)
        return str(path)

    def rows(self) -> list[dict[str, Any]]:
        return self("show", "sales", "--rows", "99", "--json").record["sample"]  # type: ignore[no-any-return]


@pytest.fixture
def shop(bucle: Bucle, empty: Path) -> Shop:
    return Shop(bucle, empty)


def test_a_table_is_made_changed_compacted_and_its_past_given_up(shop: Shop) -> None:
    assert shop("make", "sales", "id:long", "day:date", "--partition-by", "day").status == 0
    batch = shop.file("id,day\n1,2013-01-01\n2,2013-01-01\n3,2013-01-02\n")
    assert shop("upsert", batch, "--table", "sales", "--on", "id").status == 0
    assert shop("delete", "sales", "id = 2").status == 0
    assert shop("alter", "sales", "add note string", "rename id number").status == 0
    assert shop("replace", shop.file("number,day\n9,2013-01-02\n"), "--table", "sales").status == 0
    compacted = shop("compact", "sales", "--json")
    assert compacted.status == 0, compacted.err
    assert compacted.record["tables"]["sales"]["files"] == 2
    expected = [(1, "2013-01-01", None), (9, "2013-01-02", None)]
    assert sorted((row["number"], row["day"], row["note"]) for row in shop.rows()) == expected
    told = shop("expire", "--keep", "1", "--json")
    assert (told.status, told.record["commits"]) == (0, [])


def test_what_cannot_be_is_refused_with_its_reason(shop: Shop) -> None:
    assert shop("make", "sales", "id").status == 2
    assert shop("make", "sales", "id:long").status == 0
    wrong = shop("delete", "sales", "price > 3")
    assert wrong.status == 2
    assert "price" in wrong.err
    assert shop("alter", "sales", "drop id").status == 2
    assert shop("upsert", shop.file("id\n1\n1\n"), "--table", "sales", "--on", "id").status == 2
