from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import bucle
from bucle.ground.core import UserError
from bucle.ground.project import Project
from bucle.ground.store import METADATA, SCHEMA_VERSION, BadValue, Database, DatabaseFailed, DatabaseTooNew
from bucle.ground.store.lease import LEASES


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'er' / 'bucle.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    opened.migrate()
    yield opened
    opened.close()


def import_every_table() -> None:
    for module in pkgutil.walk_packages(bucle.__path__, "bucle."):
        if module.name.rpartition(".")[2] in {"tables", "lease"}:
            importlib.import_module(module.name)


def test_the_migrations_make_exactly_the_tables_the_rooms_declare(database: Database) -> None:
    import_every_table()
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_the_last_migration_is_the_version_the_code_knows() -> None:
    folder = Path(bucle.__file__).parent / "ground" / "store" / "migrations"
    scripts = ScriptDirectory(str(folder))
    assert scripts.get_current_head() == SCHEMA_VERSION
    assert [script.revision for script in scripts.walk_revisions()] == sorted(
        (script.revision for script in scripts.walk_revisions()), reverse=True
    )


def test_migrating_twice_changes_nothing(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sa.insert(LEASES).values(name="a", holder="b", token=7, expires_at=1.5))
    database.migrate()
    assert database.schema_version() == SCHEMA_VERSION
    with database.reading() as connection:
        assert connection.execute(sa.select(LEASES.c.token)).scalar_one() == 7


def test_an_empty_database_has_no_version(url: str) -> None:
    database = Database(url)
    assert database.schema_version() is None
    database.close()


def test_a_database_of_a_newer_bucle_is_refused_and_left_alone(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="9999") as failed:
        database.migrate()
    assert "pip install -U bucle" in failed.value.fix
    assert database.schema_version() == "9999"


def test_a_project_on_a_newer_database_does_not_open(root: Path) -> None:
    first = Project.open(root)
    with first.database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    first.close()
    with pytest.raises(DatabaseTooNew):
        Project.open(root)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    row = {"holder": "b", "token": 1, "expires_at": 0.0}

    def fail(times: int) -> None:
        with database.writing() as connection:
            for _ in range(times):
                connection.execute(sa.insert(LEASES).values(name="a", **row))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(1)
    with pytest.raises(sa.exc.IntegrityError):
        fail(2)
    with database.reading() as connection:
        assert connection.execute(sa.select(LEASES)).all() == []


def test_a_reader_sees_one_moment_while_a_writer_goes_on(database: Database) -> None:
    count = sa.select(sa.func.count()).select_from(LEASES)
    with database.reading() as reader:
        before = reader.execute(count).scalar_one()
        with database.writing() as writer:
            writer.execute(sa.insert(LEASES).values(name="a", holder="b", token=1, expires_at=0.0))
        assert reader.execute(count).scalar_one() == before == 0
    with database.reading() as reader:
        assert reader.execute(count).scalar_one() == 1


def test_instants_keep_their_microsecond_and_their_order(database: Database) -> None:
    import_every_table()
    events = METADATA.tables["events"]
    base = datetime(2013, 1, 1, tzinfo=UTC)
    row = {"actor": "a", "kind": "k", "subject": "s", "reason": "", "data": "{}", "state": "[]", "leaf": "", "root": ""}
    instants = [base + timedelta(microseconds=n) for n in (1, 0, 999_999)] + [datetime(1, 1, 1, tzinfo=UTC)]
    with database.writing() as connection:
        for seq, instant in enumerate(instants):
            connection.execute(sa.insert(events).values(seq=seq, at=instant, key=None, **row))
    with database.reading() as connection:
        assert connection.execute(sa.select(events.c.at).order_by(events.c.at)).scalars().all() == sorted(instants)


def test_a_database_that_does_not_answer_is_one_error_with_a_fix() -> None:
    database = Database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(DatabaseFailed) as failed:
        database.migrate()
    assert "secret" not in str(failed.value)
    assert "127.0.0.1" in failed.value.what


def test_a_value_that_no_database_keeps_is_the_askers_fault(database: Database) -> None:
    import_every_table()
    events = METADATA.tables["events"]
    asked = sa.select(events.c.seq).where(events.c.actor == "a\x00b")
    with contextlib.suppress(BadValue), database.reading() as connection:
        assert connection.execute(asked).all() == []  # SQLite looks for it, PostgreSQL cannot


def test_a_file_that_is_no_database_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "bucle.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseFailed):
        Database(f"sqlite:///{tmp_path / 'bucle.db'}").migrate()


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseFailed):
        Database(f"sqlite:///{tmp_path / 'file' / 'bucle.db'}")


@pytest.mark.parametrize("url", ["mysql://x/y", "no address", "", "redis://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        Database(url)
