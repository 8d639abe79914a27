"""Group commit: what is acknowledged is kept, once, whoever else writes or fails at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import UserError
from bucle.ground.store import Database, DatabaseFailed
from bucle.ground.store.group import TIDY
from bucle.ground.store.lease import LEASES


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_sqlite = request.param == "sqlite"
    opened = Database(f"sqlite:///{tmp_path / 'bucle.db'}" if is_sqlite else request.getfixturevalue("postgres_url"))
    opened.migrate()
    yield opened
    opened.close()


def add(name: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(sa.insert(LEASES).values(name=name, holder="h", token=1, expires_at=0.0))
        return name

    return work


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(sa.select(LEASES.c.name).order_by(LEASES.c.name)).scalars())


def held_up(database: Database, go_on: threading.Event) -> Future[bool]:
    """A work that the thread has begun and that waits."""
    begun = threading.Event()

    def wait(_connection: Connection) -> bool:
        begun.set()
        return go_on.wait(30)

    with database.writing():  # who finds the database taken leaves the work to the thread
        first = database.submit(wait)
    assert begun.wait(30)
    return first


def test_who_finds_nobody_writing_writes_by_itself(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'one.db'}")
    assert database.submit(lambda _connection: threading.current_thread()).result() is threading.current_thread()
    with database.writing():
        waiting = database.submit(lambda _connection: threading.current_thread())
        assert not waiting.done()
    assert waiting.result() is not threading.current_thread()
    database.close()


@pytest.mark.parametrize(("works", "bytes_"), [(6 * TIDY, 10), (60, 4_000_000)], ids=["small", "large"])
def test_the_log_of_writes_does_not_grow_without_end(tmp_path: Path, works: int, bytes_: int) -> None:
    database = Database(f"sqlite:///{tmp_path / 'one.db'}")
    database.migrate()
    log = tmp_path / "one.db-wal"
    sizes = list[int]()
    for number in range(works):
        database.grouped(add(f"{number}{'x' * bytes_}"))
        sizes.append(log.stat().st_size)
    assert max(sizes[works // 2 :]) < 1.2 * max(sizes[: works // 2])
    database.close()


def test_a_work_gives_what_it_gives_once_it_is_kept(database: Database) -> None:
    assert database.grouped(add("a")) == "a"
    assert names(database) == ["a"]


def test_works_that_wait_share_one_transaction(database: Database) -> None:
    begun = list[int]()
    go_on = threading.Event()

    @sa.event.listens_for(database.engine, "begin")
    def _count(_connection: Connection) -> None:
        begun.append(1)

    first = held_up(database, go_on)
    rest = [database.submit(add(f"{number:03}")) for number in range(100)]
    before = len(begun)
    go_on.set()
    assert [one.result() for one in rest] == [f"{number:03}" for number in range(100)]
    assert first.result()
    assert len(begun) - before < 20
    assert len(names(database)) == 100


def test_an_error_of_one_is_nobody_elses(database: Database) -> None:
    go_on = threading.Event()

    def refuse(connection: Connection) -> None:
        add("half")(connection)
        raise UserError("No.")

    def run_into_a_wall(connection: Connection) -> None:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))

    held_up(database, go_on)
    works = [add("a"), refuse, add("b"), run_into_a_wall, add("a"), add("c")]
    futures = [database.submit(work) for work in works]
    go_on.set()
    found = [future.exception() for future in futures]
    assert [type(one) for one in found] == [
        type(None), UserError, type(None), DatabaseFailed, sa.exc.IntegrityError, type(None)
    ]  # fmt: skip
    assert names(database) == ["a", "b", "c"]


def test_many_threads_write_and_none_is_lost(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: database.grouped(add(f"{number:04}")), range(400)))
    assert names(database) == [f"{number:04}" for number in range(400)]


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'bucle.db'}")
    database.migrate()
    futures = [database.submit(add(f"{number:02}")) for number in range(50)]
    database.close()
    assert all(future.done() for future in futures)
    assert len(names(database)) == 50
    assert database.grouped(add("later")) == "later"  # closed is not broken: it opens again
    database.close()


def test_a_reader_sees_either_all_of_a_work_or_nothing(database: Database) -> None:
    def pair(number: int) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            add(f"{number}-left")(connection)
            add(f"{number}-right")(connection)

        return work

    futures = [database.submit(pair(number)) for number in range(40)]
    while not all(future.done() for future in futures):
        assert len(names(database)) % 2 == 0
    assert len(names(database)) == 80


_FORKING = """
import multiprocessing, sys
import sqlalchemy as sa
from bucle.ground.store import Database
from bucle.ground.store.lease import LEASES

def write_some(database, who):
    for number in range(10):
        row = dict(name=f"{who}-{number}", holder="h", token=1, expires_at=0.0)
        database.grouped(lambda connection: connection.execute(sa.insert(LEASES).values(**row)) and None)

database = Database(sys.argv[1])
write_some(database, "before")
child = multiprocessing.get_context("fork").Process(target=write_some, args=(database, "child"))
child.start()
write_some(database, "parent")
child.join(60)
database.close()
sys.exit(child.exitcode)
"""


def test_a_forked_process_writes_with_a_thread_and_connections_of_its_own(database: Database) -> None:
    # In a process of its own: what other threads of this one hold at the fork, the child would wait for without end.
    url = database.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    subprocess.run([sys.executable, "-W", "ignore", "-c", _FORKING, url], check=True, timeout=120)
    assert len(names(database)) == 30


_WRITER = """
import sys
from bucle.ground.store import Database
import sqlalchemy as sa
from bucle.ground.store.lease import LEASES
database = Database(sys.argv[1])
for number in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}-{number}"
    row = dict(name=name, holder="h", token=1, expires_at=0.0)
    database.grouped(lambda connection: connection.execute(sa.insert(LEASES).values(**row)) and None)
    sys.stdout.write(name + "\\n")
    sys.stdout.flush()
"""


def start(database: Database, who: str, count: int) -> subprocess.Popen[str]:
    url = database.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    command = [sys.executable, "-c", _WRITER, url, who, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_eight_processes_write_at_once(database: Database) -> None:
    children = [start(database, f"w{number}", 25) for number in range(8)]
    for child in children:
        assert len(child.communicate()[0].split()) == 25
    assert len(names(database)) == 200


def test_what_was_acknowledged_survives_kill_9(database: Database) -> None:
    child = start(database, "w", 100_000)
    assert child.stdout is not None
    told = [child.stdout.readline().strip() for _ in range(50)]
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.read().split()
    child.wait()
    child.stdout.close()
    assert set(told) <= set(names(database))
    assert len(names(database)) <= len(told) + 1


def test_two_works_that_would_wait_for_each_other_are_both_kept(postgres_url: str) -> None:
    """PostgreSQL ends a deadlock by giving one transaction up; that one is tried again."""
    one, other = Database(postgres_url), Database(postgres_url)
    one.migrate()
    one.grouped(add("a"))
    one.grouped(add("b"))
    meet = threading.Barrier(2, timeout=30)

    def touch(first: str, second: str) -> Callable[[Connection], None]:
        met = list[int]()

        def work(connection: Connection) -> None:
            for place, name in enumerate((first, second)):
                change = sa.update(LEASES).values(token=LEASES.c.token + 1).where(LEASES.c.name == name)
                connection.execute(change)
                if place == 0 and not met:
                    met.append(1)
                    meet.wait()

        return work

    futures = [one.submit(touch("a", "b")), other.submit(touch("b", "a"))]
    for future in futures:
        future.result(60)
    with one.reading() as connection:
        assert list(connection.execute(sa.select(LEASES.c.token)).scalars()) == [3, 3]
    one.close()
    other.close()


def test_a_server_that_ended_our_connection_is_asked_anew(postgres_url: str) -> None:
    database = Database(postgres_url)
    database.migrate()
    own = database.grouped(lambda connection: connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one())
    with database.writing() as other:
        other.execute(sa.select(sa.func.pg_terminate_backend(own)))
    with pytest.raises(DatabaseFailed):
        database.grouped(add("a"))
    assert database.grouped(add("b")) == "b"
    assert names(database) == ["b"]
    database.close()


def test_who_no_longer_waits_does_not_stop_the_others(database: Database) -> None:
    go_on = threading.Event()
    first = held_up(database, go_on)
    given_up = database.submit(add("given up"))
    assert not given_up.cancel()
    go_on.set()
    assert first.result()
    assert database.grouped(add("later")) == "later"
    assert names(database) == ["given up", "later"]
