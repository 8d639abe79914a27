from __future__ import annotations

import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from bucle.ground.project import Project
from bucle.ground.store import Database, LeaseLost, acquire, release, renew
from bucle.ground.store.lease import LEASES


def expire(database: Database, name: str) -> None:
    """Let the holder look dead, without waiting for it."""
    with database.writing() as connection:
        connection.execute(sa.update(LEASES).where(LEASES.c.name == name).values(expires_at=time.time() - 1))


def test_a_lease_has_one_holder(any_project: Project) -> None:
    first = acquire(any_project.database, "execution/1", "a")
    assert first is not None
    assert first.token == 1
    assert acquire(any_project.database, "execution/1", "b") is None
    assert acquire(any_project.database, "execution/2", "b") is not None


def test_a_lease_given_back_can_be_taken_at_once(any_project: Project) -> None:
    first = acquire(any_project.database, "x", "a")
    assert first is not None
    release(any_project.database, first)
    second = acquire(any_project.database, "x", "b")
    assert second is not None
    assert second.token == 2


def test_a_dead_holders_lease_is_taken_over_and_the_dead_is_fenced_off(any_project: Project) -> None:
    database = any_project.database
    dead = acquire(database, "x", "a")
    assert dead is not None
    expire(database, "x")
    heir = acquire(database, "x", "b")
    assert heir is not None
    assert heir.token > dead.token
    with pytest.raises(LeaseLost):
        renew(database, dead)
    release(database, dead)
    renew(database, heir)
    assert acquire(database, "x", "c") is None


def test_a_renewed_lease_lives_on(any_project: Project) -> None:
    lease = acquire(any_project.database, "x", "a", ttl_s=30)
    assert lease is not None
    expire(any_project.database, "x")
    renew(any_project.database, lease)
    assert acquire(any_project.database, "x", "b") is None


def test_tokens_only_grow(any_project: Project) -> None:
    tokens = []
    for number in range(6):
        lease = acquire(any_project.database, "x", f"holder {number}")
        assert lease is not None
        tokens.append(lease.token)
        expire(any_project.database, "x") if number % 2 else release(any_project.database, lease)
    assert tokens == sorted(set(tokens))


def test_the_same_holder_taking_again_fences_its_former_self(any_project: Project) -> None:
    first = acquire(any_project.database, "x", "a")
    second = acquire(any_project.database, "x", "a")
    assert first is not None
    assert second is not None
    with pytest.raises(LeaseLost):
        renew(any_project.database, first)


_CONTENDER = """
import sys
from bucle.ground.store import Database, acquire, release
database = Database(sys.argv[1])
for _ in range(30):
    lease = acquire(database, "x", sys.argv[2])
    if lease is not None:
        print(lease.token)
        release(database, lease)
database.close()
"""


def test_processes_that_contend_never_win_the_same_token(any_project: Project) -> None:
    command = [sys.executable, "-c", _CONTENDER, any_project.database.url]
    contenders = [
        subprocess.Popen([*command, f"process {number}"], stdout=subprocess.PIPE, text=True) for number in range(3)
    ]
    tokens = [int(token) for process in contenders for token in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in contenders] == [0, 0, 0]
    assert sorted(tokens) == list(range(1, len(tokens) + 1))
