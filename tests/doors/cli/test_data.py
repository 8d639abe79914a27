from __future__ import annotations

import json
from pathlib import Path

import pytest

from doors.cli.typed import Bucle


@pytest.fixture
def shop(bucle: Bucle, empty: Path) -> Path:
    """A project with a table and its contract."""
    first = empty / "first.csv"
    first.write_text("sale,price\n1,10.0\n50,12.5\n99,9.0\n")
    assert bucle("data", "add", str(first), "--table", "sales", "--project", str(empty)).status == 0
    assert bucle("data", "infer", "sales", "--project", str(empty)).status == 0
    return empty


def batch(shop: Path, text: str) -> str:
    (shop / "batch.csv").write_text(text)
    return str(shop / "batch.csv")


def test_rows_that_keep_the_contract_become_visible(bucle: Bucle, shop: Path) -> None:
    said = bucle(
        "data", "add", batch(shop, "sale,price\n4,11.0\n"), "--table", "sales", "--project", str(shop), "--json"
    )
    assert said.status == 0
    assert said.record["tables"]["sales"]["rows"] == 4


def test_a_batch_that_breaks_the_contract_is_refused_whole_with_5(bucle: Bucle, shop: Path) -> None:
    path = batch(shop, "sale,price\n5,11.0\n6,-4000\n")
    said = bucle("data", "add", path, "--table", "sales", "--project", str(shop))
    assert said.status == 5
    assert "error[BU0515]" in said.err
    assert "minimum" in said.out
    whole = bucle("data", "add", path, "--table", "sales", "--project", str(shop), "--json").record
    assert whole["error"]["code"] == "BU0515"
    assert "price" in {breach["column"] for breach in whole["report"]["breaches"]}
    assert bucle("data", "list", "--project", str(shop), "--json").record[0]["rows"] == 3


def test_a_check_that_finds_something_gives_7_and_writes_nothing(bucle: Bucle, shop: Path) -> None:
    path = batch(shop, "sale,price\n5,-4000\n")
    said = bucle("data", "check", path, "--table", "sales", "--project", str(shop), "--json")
    assert (said.status, said.record["passed"]) == (7, False)
    good = bucle("data", "check", batch(shop, "sale,price\n5,10\n"), "--table", "sales", "--project", str(shop))
    assert good.status == 0


def test_a_contract_that_was_edited_is_not_written_over(bucle: Bucle, shop: Path) -> None:
    said = bucle("data", "infer", "sales", "--project", str(shop))
    assert said.status == 6
    assert "--force" in said.err
    assert bucle("data", "infer", "sales", "--force", "--project", str(shop)).status == 0


def test_a_branch_holds_rows_until_it_is_merged(bucle: Bucle, shop: Path) -> None:
    where = ["--project", str(shop)]
    assert bucle("data", "branch", "create", "trial", *where).status == 0
    path = batch(shop, "sale,price\n7,11.0\n")
    assert bucle("data", "add", path, "--table", "sales", "--branch", "trial", *where).status == 0
    assert bucle("data", "list", *where, "--json").record[0]["rows"] == 3
    (difference,) = bucle("data", "diff", "main", "trial", *where, "--json").record["tables"]
    assert (difference["rows_before"], difference["rows_after"]) == (3, 4)
    assert bucle("data", "merge", "trial", *where).status == 0
    assert bucle("data", "branch", "delete", "trial", *where).status == 0
    assert bucle("data", "list", *where, "--json").record[0]["rows"] == 4


def test_the_same_key_lands_once(bucle: Bucle, shop: Path) -> None:
    path = batch(shop, "sale,price\n8,11.0\n")
    for _ in range(2):
        assert bucle("data", "add", path, "--table", "sales", "--key", "k", "--project", str(shop)).status == 0
    assert bucle("data", "list", "--project", str(shop), "--json").record[0]["rows"] == 4


def test_a_byte_changed_in_a_file_is_found_with_7(bucle: Bucle, shop: Path) -> None:
    file = next((shop / ".bucle" / "lake").rglob("*.parquet"))
    spoilt = bytearray(file.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    file.write_bytes(spoilt)
    assert bucle("data", "verify", "--project", str(shop)).status == 7
    said = bucle("audit", "verify", "--project", str(shop))
    assert said.status == 7
    assert "The first fault:" in said.err


def test_a_folder_goes_to_the_tree_and_comes_back(bucle: Bucle, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(empty)
    images = Path("images")
    images.mkdir()
    (images / "1.png").write_bytes(b"one")
    assert bucle("data", "add-files", str(images), "--message", "first").status == 0
    assert "1 are the same" in bucle("data", "status", str(images)).err
    (images / "1.png").write_bytes(b"other")
    (images / "2.png").write_bytes(b"two")
    said = bucle("data", "status", str(images), "--json")
    assert (said.record["new"], said.record["changed"]) == (["2.png"], ["1.png"])
    assert bucle("data", "checkout", str(images)).status == 6
    assert (images / "1.png").read_bytes() == b"other"
    assert bucle("data", "checkout", str(images), "--force", "--json").record["written"] == ["1.png"]
    assert (images / "1.png").read_bytes() == b"one"
    assert bucle("data", "add-files", "nowhere").status == 3


def test_bad_rows_are_set_aside_and_the_verdicts_say_so(bucle: Bucle, shop: Path) -> None:
    where = ["--project", str(shop)]
    contract = shop / "contracts" / "sales.yaml"
    contract.write_text(contract.read_text() + "max_quarantine_share: 0.5\n")
    path = batch(shop, "sale,price\n5,11.0\n6,-4000\n7,12.0\n")
    assert bucle("data", "add", path, "--table", "sales", *where).status == 5
    assert bucle("data", "add", path, "--table", "sales", "--quarantine", *where).status == 0
    rows = {one["table"]: one["rows"] for one in bucle("data", "list", *where, "--json").record}
    assert rows == {"sales": 5, "sales__quarantine": 1}
    found = bucle("data", "verdicts", "sales", *where, "--json").record
    assert [(one["passed"], one["rows_set_aside"]) for one in found] == [(True, 1), (False, 0)]
    said = bucle("data", "verdicts", *where)
    assert "price.minimum" in said.out
    assert bucle("data", "verdicts", "--since", "2100-01-01", *where, "--json").record == []


def test_the_contract_of_a_commit_and_what_changed_since(bucle: Bucle, shop: Path) -> None:
    where = ["--project", str(shop)]
    assert bucle("data", "contract", "sales", "--at", "main", *where).status == 3
    assert bucle("data", "add", batch(shop, "sale,price\n4,11.0\n"), "--table", "sales", *where).status == 0
    assert bucle("data", "contract", "sales", "--at", "main", *where, "--json").record["table"] == "sales"
    contract = shop / "contracts" / "sales.yaml"
    contract.write_text("table: sales\ncolumns:\n- {name: sale, minimum: 1}\n- {name: price, maximum: 5}\n")
    found = bucle("data", "contract", "sales", "--against", "main", *where, "--json").record
    assert {(one["where"], one["setting"], one["effect"]) for one in found} >= {("price", "maximum", "stricter")}
    said = bucle("data", "contract", "sales", *where)
    assert "maximum: 5" in said.err + said.out


def test_a_table_is_held_against_its_own_contract_and_against_earlier_rows(bucle: Bucle, shop: Path) -> None:
    where = ["--project", str(shop)]
    assert bucle("data", "check", "--table", "sales", *where).status == 0
    assert bucle("data", "infer", "sales", "--force", "--drift", "0.1", *where).status == 0
    path = batch(shop, "sale,price\n5,12.4\n5,12.4\n")
    said = bucle("data", "check", path, "--table", "sales", "--previous", "main", *where, "--json")
    assert (said.status, {one["rule"] for one in said.record["breaches"]}) == (7, {"drift"})


def test_a_profile_is_a_page_or_figures(bucle: Bucle, shop: Path) -> None:
    where = ["--project", str(shop)]
    assert bucle("data", "add", batch(shop, "sale,price\n4,11.0\n"), "--table", "sales", *where).status == 0
    first = bucle("data", "log", *where, "--json").record[-1]["id"]
    page, figures = shop / "p.html", shop / "p.json"
    assert bucle("data", "profile", "sales", "--out", str(page), *where).status == 0
    assert page.read_text().startswith("<!doctype html>")
    assert bucle("data", "profile", "sales", "--against", first, "--out", str(figures), *where).status == 0
    said = bucle("data", "profile", "sales", "--against", first, *where, "--json")
    assert (said.record["before"]["rows"], said.record["after"]["rows"]) == (3, 4)
    assert json.loads(figures.read_text()) == said.record


def test_files_go_to_a_remote_and_come_from_it(bucle: Bucle, shop: Path, tmp_path: Path) -> None:
    images, at = tmp_path / "images", ("--project", str(shop))
    images.mkdir()
    (images / "1.png").write_bytes(b"png")
    assert bucle("data", "add-files", str(images), *at).status == 0
    assert "Nothing has changed" in bucle("data", "add-files", str(images), *at).err
    assert bucle("data", "push", *at).status == 3
    assert bucle("data", "remote", "add", "origin", str(tmp_path / "far"), *at).status == 0
    assert bucle("data", "push", *at, "--json").record["files"] == 1
    assert bucle("data", "remote", "list", *at, "--json").record[0]["name"] == "origin"
    assert bucle("data", "remote", "show", *at, "--json").record[0]["branch"] == "main"
    assert bucle("data", "pull", "--into", "theirs", *at, "--json").record["branch"] == "theirs"
    assert bucle("data", "remote", "remove", "origin", *at).status == 0
    assert bucle("data", "remote", "add", *at).status == 2
    assert bucle("data", "import-url", str(images / "1.png"), "pinned.png", *at).status == 0
    assert bucle("data", "import-url", "--update", "pinned.png", *at).status == 0
    assert bucle("data", "import-url", "pinned.png", *at).status == 2
    assert bucle("data", "storage", *at, "--json").record[-1]["versions"] == 2
    exported = bucle("data", "dvc", "export", str(tmp_path / "out"), *at, "--json").record
    assert exported["outputs"] == ["images", "pinned.png"]
    assert bucle("data", "dvc", "import", str(tmp_path / "out"), "--path", "back", *at, "--json").record["files"] == 4
    assert bucle("data", "dvc", "stages", str(tmp_path / "out"), *at, "--json").record == []
