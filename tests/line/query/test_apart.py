"""Questions in processes of their own: what kills one leaves the asker and the next question alone."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl
import psutil
import pyarrow as pa
import pytest

from bucle.ground import governance
from bucle.ground.governance import Denied
from bucle.ground.project import Project
from bucle.line import data, query
from bucle.line.query import Apart, Limits

FEW = Limits(rows=1000, memory_mb=128, timeout_s=60.0, threads=2)
EATER = "SELECT list(a.x) FROM numbers a, numbers b"
LONG = "SELECT sum(sin(a.x * b.x * c.x)) FROM numbers a, numbers b, numbers c"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("apart")
    (root / "bucle.toml").write_text('[project]\nname = "apart"\n')
    project = Project.open(root, actor="ana")
    data.commit(project, {"numbers": pl.DataFrame({"x": range(30_000)})}, message="rows")
    data.commit(project, {"people": pl.DataFrame({"mail": ["ana@example.org"]})}, message="rows")
    data.tag_columns(project, "people", {"mail": data.ColumnTag("email", "redact")})
    yield project
    project.close()


def ask(project: Project, text: str, limits: Limits = FEW, principal: str = "ana") -> bytes:
    return query.ask_apart(project, text, at="main", limits=limits, principal=principal, form="json").rows


def kept(project: Project) -> Apart:
    return project.keep(Apart, lambda: Apart(project))


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(holds: object) -> None:
    """Wait for another process, which has no event to wait for."""
    patience = threading.Event()
    for _ in range(600):
        if holds():  # type: ignore[operator]
            return
        patience.wait(0.05)
    raise AssertionError("It never came to hold.")


def test_an_answer_is_that_of_sql_in_both_forms(shop: Project) -> None:
    text = "SELECT x, x / 2 AS half FROM numbers ORDER BY x"
    here = query.sql(shop, text, limits=FEW)
    told, rows = query.ask_apart(shop, text, at="main", limits=FEW, principal="ana", form="arrow")
    assert pa.ipc.open_stream(io.BytesIO(rows)).read_all() == here.table
    assert (told.columns, told.commits, told.masked, told.is_cut) == (here.columns, here.commits, {}, True)
    assert ask(shop, "SELECT 1 AS one") == b'[{"one":1}]'


def test_errors_and_masks_cross_the_border_as_they_are(shop: Project) -> None:
    assert ask(shop, "FROM people", principal="luz") == b'[{"mail":"***"}]'
    governance.grant(shop, "eva", "read", "table/numbers", effect="deny")
    for text, kind in (
        ("FROM nothing", data.NoSuchTable),
        ("SELEC", query.BadQuery),
        ("FROM read_text('/etc/passwd')", query.QueryNotAllowed),
        ("FROM numbers", Denied),
    ):
        with pytest.raises(kind) as here:
            query.sql(shop, text, principal="eva")
        with pytest.raises(kind) as there:
            ask(shop, text, principal="eva")
        assert there.value.as_dict() == here.value.as_dict()


def test_a_question_that_eats_memory_is_refused_and_the_next_is_answered(shop: Project) -> None:
    ask(shop, "SELECT 1")
    (before,) = kept(shop).pids
    with pytest.raises(query.QueryTooLarge):
        ask(shop, EATER)
    assert is_gone(before)
    assert ask(shop, "SELECT count(*) AS n FROM numbers") == b'[{"n":30000}]'


def test_an_answer_that_is_too_long_to_hold_is_refused(shop: Project) -> None:
    with pytest.raises(query.QueryTooLarge, match="64 MB"):
        ask(shop, "SELECT repeat('x', 70000000) AS r", Limits(memory_mb=1024))


def test_a_process_that_was_killed_is_replaced(shop: Project) -> None:
    ask(shop, "SELECT 1")
    (idle,) = kept(shop).pids
    os.kill(idle, signal.SIGKILL)
    until(lambda: is_gone(idle))
    assert ask(shop, "SELECT 2 AS n") == b'[{"n":2}]'
    (other,) = kept(shop).pids
    assert other != idle


def test_a_process_that_does_not_stop_by_itself_is_killed_when_its_time_is_over(shop: Project) -> None:
    ask(shop, "SELECT 1")
    (stuck,) = kept(shop).pids
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(query.QueryTimeout):
        ask(shop, "SELECT 1", Limits(timeout_s=0.1))
    assert is_gone(stuck)
    assert ask(shop, "SELECT 1 AS n") == b'[{"n":1}]'


def test_some_at_once_are_answered_and_more_are_turned_away(shop: Project) -> None:
    few = Apart(shop, at_once=2, waiting=0)

    def asked(text: str) -> query.Reply:
        return few.ask(query.Asked(text, "main", "ana", FEW, "json"))

    def in_its_question(pid: int) -> bool:
        return psutil.Process(pid).cpu_percent(0.05) > 50

    with ThreadPoolExecutor(2) as pool:
        # Each process has answered before it gets the long question: one that is starting is busy as well.
        assert asked("SELECT 1 AS n").rows == b'[{"n":1}]'
        (first,) = few.pids
        long: Future[query.Reply] = pool.submit(asked, LONG)
        until(lambda: in_its_question(first))
        assert asked("SELECT 1 AS n").rows == b'[{"n":1}]'
        (second,) = set(few.pids) - {first}
        also = pool.submit(asked, LONG)
        until(lambda: in_its_question(second))
        with pytest.raises(query.QueryBusy):
            asked("SELECT 1")
        for pid in (first, second):
            os.kill(pid, signal.SIGKILL)
        for one in (long, also):
            with pytest.raises(query.QueryTooLarge, match="SIGKILL"):
                one.result(60)
    assert asked("SELECT 1 AS n").rows == b'[{"n":1}]'
    few.close()
    assert few.pids == []


def test_processes_end_with_the_server_even_in_the_midst_of_a_question(shop: Project, tmp_path: Path) -> None:
    program = f"""
import sys, threading
from bucle.ground.project import Project
from bucle.line import query
project = Project.open({str(shop.root)!r})
limits = query.Limits(timeout_s=600.0, threads=1)
ask = lambda text: query.ask_apart(project, text, at="main", limits=limits, principal="ana")
ask("SELECT 1")
print(*project.keep(query.Apart, None).pids, flush=True)
ask({LONG!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        until(lambda: psutil.Process(pid).cpu_percent(0.05) > 50)
        server.kill()
    until(lambda: is_gone(pid))
