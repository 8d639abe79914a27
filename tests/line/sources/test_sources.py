"""Each kind of source, read from real files, databases, servers and buckets; each row lands once."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from buckets import bucket, client_of, credentials, s3_server  # noqa: F401  fixtures
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import contracts, data, sources
from bucle.line.sources import Source

ROWS = pl.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "ü"], "x": [0.5, None, 2.5]})


def declare(project: Project, **given: Any) -> None:
    sources.save_source(project, Source(**{"name": "s", "table": "t", "settle_s": 0.0, **given}))


def landed(project: Project) -> pl.DataFrame:
    return data.scan(project, "t")


WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "csv": pl.DataFrame.write_csv,
    "jsonl": pl.DataFrame.write_ndjson,
    "parquet": pl.DataFrame.write_parquet,
    "json": pl.DataFrame.write_json,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_files_land_as_they_are(project: Project, ending: str) -> None:
    WRITERS[ending](ROWS, project.root / f"in.{ending}")
    kind, location = ("folder", ".") if ending == "json" else (ending, f"in.{ending}")
    declare(project, kind=kind, location=location, pattern="*.json")
    assert sources.run(project, "s").rows == 3
    assert_frame_equal(landed(project), ROWS)
    again = sources.run(project, "s")
    assert (again.rows, again.commit, len(data.log(project))) == (0, "", 1)


def test_a_sheet_of_excel_lands(project: Project) -> None:
    write_sheet(project.root / "book.xlsx", "June", [("id", "name"), (1, "a"), (2, "b")])
    declare(project, kind="excel", location="book.xlsx", options={"sheet": "June"})
    sources.run(project, "s")
    assert landed(project).to_dicts() == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


def write_sheet(path: Path, name: str, rows: list[tuple[object, ...]]) -> None:
    """A workbook with an empty sheet and one of rows, as ECMA-376 has it."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    packed = "http://schemas.openxmlformats.org/package/2006"

    def cell(value: object) -> str:
        return f"<c><v>{value}</v></c>" if isinstance(value, int) else f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    sheets = "".join(f'<sheet name="{one}" sheetId="{n}" r:id="r{n}"/>' for n, one in ((1, "Empty"), (2, name)))
    targets = "".join(f'<Relationship Id="r{n}" Type="{links}/worksheet" Target="sheet{n}.xml"/>' for n in (1, 2))
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("[Content_Types].xml", f'<Types xmlns="{packed}/content-types"><Default Extension="rels" '
                      'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                      '<Default Extension="xml" '
                      f'ContentType="{kind}.worksheet+xml"/><Override PartName="/xl/workbook.xml" '
                      f'ContentType="{kind}.sheet.main+xml"/></Types>')  # fmt: skip
        book.writestr("_rels/.rels", f'<Relationships xmlns="{packed}/relationships"><Relationship Id="r" '
                      f'Type="{links}/officeDocument" Target="xl/workbook.xml"/></Relationships>')  # fmt: skip
        book.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{packed}/relationships">{targets}</Relationships>'
        )
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{links}"><sheets>{sheets}</sheets></workbook>'
        )
        for number, inner in ((1, ""), (2, lines)):
            book.writestr(
                f"xl/sheet{number}.xml", f'<worksheet xmlns="{main}"><sheetData>{inner}</sheetData></worksheet>'
            )


def test_a_full_source_replaces_the_rows_when_its_file_changed(project: Project) -> None:
    declare(project, kind="csv", location="in.csv")
    for frame in (ROWS, ROWS.head(1)):
        frame.write_csv(project.root / "in.csv")
        sources.run(project, "s")
        assert_frame_equal(landed(project), frame)


def test_a_folder_gives_each_file_once(project: Project) -> None:
    folder = project.root / "inbox"
    folder.mkdir()
    declare(project, kind="folder", location="inbox", pattern="*.csv", sync="incremental")
    for number in range(3):
        pl.DataFrame({"n": [number]}).write_csv(folder / f"{number}.csv")
        (folder / f"{number}.csv.part").write_text("half")
        (folder / f"{number}.txt").write_text("other")
        assert sources.run(project, "s").rows == 1
        assert sources.run(project, "s").rows == 0
    assert landed(project)["n"].to_list() == [0, 1, 2]
    (folder / "0.csv").unlink()
    assert sources.run(project, "s").rows == 0


def test_a_file_that_changed_after_landing_is_refused_until_all_is_read_anew(project: Project) -> None:
    folder = project.root / "inbox"
    folder.mkdir()
    declare(project, kind="folder", location="inbox", sync="incremental")
    (folder / "a.csv").write_text("n\n1\n")
    sources.run(project, "s")
    (folder / "a.csv").write_text("n\n1\n2\n")
    with pytest.raises(sources.SourceChanged):
        sources.run(project, "s")
    assert landed(project)["n"].to_list() == [1]
    assert sources.run(project, "s", full=True).rows == 2
    assert landed(project)["n"].to_list() == [1, 2]


def test_a_file_that_is_still_written_waits(project: Project) -> None:
    (project.root / "inbox").mkdir()
    declare(project, kind="folder", location="inbox", sync="incremental", settle_s=3600.0)
    fresh = project.root / "inbox" / "a.csv"
    fresh.write_text("n\n1\n")
    assert sources.run(project, "s").rows == 0
    os.utime(fresh, (time.time() - 7200, time.time() - 7200))
    assert sources.run(project, "s").rows == 1


def test_an_empty_file_and_one_without_rows_are_looked_at_once(project: Project) -> None:
    (project.root / "inbox").mkdir()
    (project.root / "inbox" / "a.csv").write_text("")
    (project.root / "inbox" / "b.csv").write_text("n\n")
    declare(project, kind="folder", location="inbox", sync="incremental")
    assert sources.run(project, "s").rows == 0
    events = project.ledger.size()
    assert sources.run(project, "s").rows == 0
    assert project.ledger.size() == events


def test_what_cannot_be_read_lands_not_at_all_and_is_noted_once(project: Project) -> None:
    (project.root / "inbox").mkdir()
    (project.root / "inbox" / "a.parquet").write_bytes(b"no parquet")
    ROWS.write_parquet(project.root / "inbox" / "b.parquet")
    declare(project, kind="folder", location="inbox", sync="incremental")
    for _ in range(2):
        with pytest.raises(sources.SourceFailed):
            sources.run(project, "s")
    assert data.log(project) == []
    assert len(project.ledger.events(kinds=["sources.failed"])) == 1
    assert "cannot be read" in sources.statuses(project)[0].failure
    (project.root / "inbox" / "a.parquet").unlink()
    assert sources.run(project, "s").rows == 3
    assert list((project.state / "spool").iterdir()) == []


def test_a_type_that_the_first_rows_hide_is_told_or_set(project: Project) -> None:
    (project.root / "in.csv").write_text("n\n" + "1\n" * 100_001 + "x\n")
    declare(project, kind="csv", location="in.csv")
    with pytest.raises(sources.SourceFailed):
        sources.run(project, "s")
    declare(project, kind="csv", location="in.csv", options={"schema": {"n": "string"}})
    assert sources.run(project, "s").rows == 100_002


def test_lines_land_when_their_end_is_there(project: Project) -> None:
    log = project.root / "events.log"
    declare(project, kind="stream", location="events.log", sync="incremental")
    log.write_text('{"n": 1}\n{"n": 2}\n{"n": ')
    assert sources.run(project, "s").rows == 2
    assert sources.run(project, "s").rows == 0
    with log.open("a") as file:
        file.write("3}\n")
    assert sources.run(project, "s").rows == 1
    assert landed(project)["n"].to_list() == [1, 2, 3]


def test_a_log_that_is_put_aside_is_read_to_its_end_first(project: Project) -> None:
    log = project.root / "events.log"
    declare(project, kind="stream", location="events.log", sync="incremental")
    log.write_text('{"n": 1}\n')
    sources.run(project, "s")
    with log.open("a") as file:
        file.write('{"n": 2}\n')
    log.rename(project.root / "events.log.1")
    log.write_text('{"n": 3}\n')
    assert sources.run(project, "s").rows == 2
    assert landed(project)["n"].to_list() == [1, 2, 3]


def test_rows_that_are_pushed_land_once(project: Project) -> None:
    declare(project, kind="stream", sync="incremental")
    assert sources.run(project, "s").rows == 0
    sources.push(project, "s", [{"n": 1}, {"n": 2}])
    with (project.state / "streams" / "s.jsonl").open("ab") as file:
        file.write(b'{"n": 9')  # its writer was killed
    sources.push(project, "s", [{"n": 3}])
    assert sources.run(project, "s").rows == 3
    assert landed(project)["n"].to_list() == [1, 2, 3]


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """A real database with a table, and a connection to it whose password is not in the file."""
    (project.root / "connections").mkdir()
    if request.param == "sqlite":
        url = f"sqlite:///{project.root}/shop.db"
        engine, uri = sa.create_engine(url), url
    else:
        url = request.getfixturevalue("empty_postgres_url")
        engine, uri = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://")), url
    monkeypatch.setenv("SHOP", uri)
    (project.root / "connections" / "shop.yaml").write_text(f"kind: {request.param}\nuri: ${{SHOP}}\n")
    with engine.begin() as opened:
        opened.execute(sa.text("CREATE TABLE sales (id BIGINT PRIMARY KEY, item TEXT, price DOUBLE PRECISION)"))
        opened.execute(sa.text("INSERT INTO sales VALUES (1, 'a', 1.5), (2, NULL, 2.5)"))
    yield engine
    engine.dispose()


def insert(engine: sa.Engine, text: str) -> None:
    with engine.begin() as opened:
        opened.execute(sa.text(text))


def test_a_database_gives_what_is_greater_than_the_cursor(project: Project, shop: sa.Engine) -> None:
    declare(project, kind="sql", connection="shop", query="sales", sync="incremental", cursor="id")
    assert sources.run(project, "s").cursor == {"value": 2}
    assert sources.run(project, "s").rows == 0
    insert(shop, "INSERT INTO sales VALUES (3, 'c', 9), (4, 'd', 8)")
    assert sources.run(project, "s").rows == 2
    assert landed(project).to_dicts() == [
        {"id": 1, "item": "a", "price": 1.5}, {"id": 2, "item": None, "price": 2.5},
        {"id": 3, "item": "c", "price": 9.0}, {"id": 4, "item": "d", "price": 8.0},
    ]  # fmt: skip


def test_a_database_gives_all_of_a_query(project: Project, shop: sa.Engine) -> None:
    declare(
        project, kind="sql", connection="shop", query="SELECT item, count(*) AS n FROM sales GROUP BY item ORDER BY 1"
    )
    sources.run(project, "s")
    insert(shop, "DELETE FROM sales")
    assert sources.run(project, "s").rows == 0
    assert (landed(project).height, len(data.log(project))) == (0, 2)


def test_instants_are_a_cursor(project: Project, empty_postgres_url: str) -> None:
    (project.root / "connections").mkdir()
    (project.root / "connections" / "shop.yaml").write_text(f"kind: postgresql\nuri: {empty_postgres_url}\n")
    engine = sa.create_engine(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    insert(engine, "CREATE TABLE e (at TIMESTAMPTZ, day DATE, amount NUMERIC(10, 2))")
    insert(engine, "INSERT INTO e VALUES ('2013-01-01T00:00:00Z', '2013-01-01', 1.25)")
    declare(
        project, kind="sql", connection="shop", query="e", sync="incremental", cursor="at", start="2012-01-01T00:00:00Z"
    )
    assert sources.run(project, "s").rows == 1
    insert(engine, "INSERT INTO e VALUES ('2013-01-01T00:00:00.000001Z', '2013-01-02', 2.5)")
    assert sources.run(project, "s").rows == 1
    assert landed(project)["amount"].to_list() == ["1.25", "2.50"]
    engine.dispose()


@pytest.mark.parametrize("cursor", ["at", "day", "word"])
def test_a_row_that_comes_later_with_the_last_value_lands_once(project: Project, shop: sa.Engine, cursor: str) -> None:
    insert(shop, "CREATE TABLE e (at TIMESTAMP, day DATE, word TEXT, n DOUBLE PRECISION)")

    def came(*numbers: float, day: int = 1) -> None:
        for number in numbers:
            insert(shop, f"INSERT INTO e VALUES ('2013-01-0{day} 00:00:00', '2013-01-0{day}', 'w{day}', {number})")

    declare(project, kind="sql", connection="shop", query="e", sync="incremental", cursor=cursor)
    came(1, 2, 2)
    assert sources.run(project, "s").rows == 3
    assert sources.run(project, "s").rows == 0
    came(2, 0.5)
    assert sources.run(project, "s").rows == 2
    came(3)
    came(4, 4, day=2)
    assert sources.run(project, "s").rows == 3
    assert [sources.run(project, "s").rows for _ in range(2)] == [0, 0]
    came(4, day=2)
    assert sources.run(project, "s").rows == 1
    assert sorted(landed(project)["n"]) == [0.5, 1, 2, 2, 2, 3, 4, 4, 4]


def test_when_too_many_share_the_last_value_only_greater_ones_are_new(
    project: Project, shop: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bucle.line.sources.boundary.MOST", 2)
    insert(shop, "CREATE TABLE e (word TEXT, n BIGINT)")
    insert(shop, "INSERT INTO e VALUES ('a', 1), ('b', 2), ('b', 3), ('b', 4)")
    declare(project, kind="sql", connection="shop", query="e", sync="incremental", cursor="word")
    assert sources.run(project, "s").cursor == {"value": "b"}
    insert(shop, "INSERT INTO e VALUES ('b', 5), ('c', 6)")
    assert sources.run(project, "s").rows == 1


def test_a_database_that_is_away_is_told_without_its_address(project: Project) -> None:
    (project.root / "connections").mkdir()
    secret = "postgresql://reader:geheim@127.0.0.1:1/shop"
    (project.root / "connections" / "shop.yaml").write_text(f"kind: postgresql\nuri: {secret}\n")
    declare(project, kind="sql", connection="shop", query="sales")
    with pytest.raises(sources.SourceFailed) as raised:
        sources.run(project, "s")
    assert "geheim" not in str(raised.value) + json.dumps([event.data for event in project.ledger.events()])


class Site(http.server.BaseHTTPRequestHandler):
    """A server that answers `/rows?after=N`, `/file.csv` with an etag, and sends on from `/on…`."""

    rows = [{"id": 1}, {"id": 2}]

    def do_GET(self) -> None:
        if self.path.startswith("/on-file"):
            self._answer(302, b"", Location="file:///etc/passwd")
        elif self.path.startswith("/on"):
            self._answer(302, b"", Location="/file.csv")
        elif self.path == "/file.csv" and self.headers.get("if-none-match") == '"1"':
            self._answer(304, b"")
        elif self.path == "/file.csv":
            self._answer(200, b"n\n1\n2\n", ETag='"1"')
        elif self.path.startswith("/rows") and self.headers.get("authorization") == "Bearer geheim":
            after = int(self.path.partition("=")[2] or 0)
            found = [row for row in self.rows if row["id"] > after]
            self._answer(200, json.dumps(found).encode(), **{"Content-Type": "application/json"})
        elif self.path == "/gzip.csv":
            self._answer(200, gzip.compress(b"n\n" + b"1\n" * 100_000), **{"Content-Encoding": "gzip"})
        else:
            self._answer(500, b"no")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_is_read_again_only_when_it_changed(project: Project, site: str) -> None:
    declare(project, kind="http", location=f"{site}/on")
    assert sources.run(project, "s").rows == 2
    declare(project, kind="http", location=f"{site}/file.csv")
    assert sources.run(project, "s").rows == 0


def test_an_address_is_read_onwards_from_the_cursor_with_a_secret(
    project: Project, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(project, kind="http", location=f"{site}/rows?after={{cursor}}", sync="incremental", cursor="id", start=0,
            headers={"authorization": "Bearer ${TOKEN}"})  # fmt: skip
    with pytest.raises(sources.SecretMissing):
        sources.run(project, "s")
    monkeypatch.setenv("TOKEN", "geheim")
    assert sources.run(project, "s").rows == 2
    assert sources.run(project, "s").rows == 0
    Site.rows = [*Site.rows, {"id": 5}]
    assert sources.run(project, "s").cursor == {"value": 5}
    Site.rows = Site.rows[:2]
    assert landed(project)["id"].to_list() == [1, 2, 5]
    kept = sources.source_path(project, "s").read_text() + json.dumps([event.data for event in project.ledger.events()])
    assert "geheim" not in kept


@pytest.mark.parametrize("path", ["/on-file", "/broken", "/gzip.csv"])
def test_an_address_that_sends_to_a_file_fails_or_gives_too_much_lands_nothing(
    project: Project, site: str, path: str
) -> None:
    declare(project, kind="http", location=f"{site}{path}", largest_bytes=10_000, format="csv")
    with pytest.raises((sources.SourceFailed, sources.SourceTooLarge)):
        sources.run(project, "s")
    assert data.log(project) == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://host/x"])
def test_only_http_is_an_address(project: Project, location: str) -> None:
    with pytest.raises(sources.SourceInvalid):
        declare(project, kind="http", location=location)


def test_a_bucket_gives_each_object_once(project: Project, bucket: str, s3_server: str) -> None:  # noqa: F811
    client = client_of(s3_server)
    options = {"endpoint": s3_server, "region": "eu-south-2"}
    declare(project, kind="s3", location=f"s3://{bucket}/in", pattern="*.csv", sync="incremental", options=options)
    for number in range(2):
        client.put_object(Bucket=bucket, Key=f"in/{number}.csv", Body=f"n\n{number}\n".encode())
        client.put_object(Bucket=bucket, Key=f"in/{number}.txt", Body=b"other")
        assert sources.run(project, "s").rows == 1
    assert sources.run(project, "s").rows == 0
    assert landed(project)["n"].to_list() == [0, 1]
    client.put_object(Bucket=bucket, Key="in/0.csv", Body=b"n\n7\n")
    with pytest.raises(sources.SourceChanged):
        sources.run(project, "s")


def test_a_contract_refuses_what_a_source_gives_and_its_cursor_stands(project: Project) -> None:
    (project.root / "inbox").mkdir()
    (project.root / "contracts").mkdir()
    (project.root / "contracts" / "t.yaml").write_text("table: t\ncolumns:\n- {name: n, minimum: 0}\n")
    (project.root / "inbox" / "a.csv").write_text("n\n-1\n")
    declare(project, kind="folder", location="inbox", sync="incremental")
    with pytest.raises(contracts.ContractViolated):
        sources.run(project, "s")
    assert sources.statuses(project)[0].landed is None
    (project.root / "inbox" / "a.csv").write_text("n\n1\n")
    assert sources.run(project, "s").rows == 1
    assert [branch.name for branch in data.branches(project)] == ["main"]


def test_the_cursor_is_part_of_the_log(any_project: Project) -> None:
    (any_project.root / "in.csv").write_text("n\n1\n")
    declare(any_project, kind="csv", location="in.csv")
    made = sources.run(any_project, "s")
    (event,) = any_project.ledger.events(kinds=["data.committed"])
    assert event.data["source"] == "s"
    assert "source_cursors" in {change.table for change in event.state}
    assert [(one.source, one.kind) for one in any_project.ledger.lineage(f"commit/{made.commit}", depth=1)] == [
        ("source/s", "landed")
    ]
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


@pytest.mark.parametrize(
    "text",
    ["kind: cvs\ntable: t\nlocation: a", "kind: csv\ntable: t", "kind: csv\ntable: t\nlocatoin: a", "- 1", "kind: [",
     "kind: sql\ntable: t", "kind: stream\ntable: t", "kind: s3\ntable: t\nlocation: /a"],
)  # fmt: skip
def test_a_file_that_is_no_source_is_refused(project: Project, text: str) -> None:
    (project.root / "sources").mkdir()
    (project.root / "sources" / "s.yaml").write_text(text)
    with pytest.raises(sources.SourceInvalid):
        sources.run(project, "s")


def test_an_unknown_source_is_not_found(project: Project) -> None:
    declare(project, kind="csv", location="in.csv")
    with pytest.raises(sources.NoSuchSource, match="x"):
        sources.run(project, "x")
