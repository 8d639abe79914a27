"""Ring: the keys of the project's tables: made, opened, wrapped anew, destroyed."""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Iterable
from fnmatch import fnmatchcase
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from bucle.ground.core import make_ref
from bucle.ground.keys import store
from bucle.ground.keys.cipher import KEY_BYTES, Cipher, key_named
from bucle.ground.keys.errors import KeyDestroyed, KeyMissing, NoSuchKey
from bucle.ground.keys.provider import EncryptionSection, KeyProvider, provider_of
from bucle.ground.keys.table_key import TableKey
from bucle.ground.keys.tables import TABLE_KEYS
from bucle.ground.project import Project

__all__ = [
    "cipher_again",
    "cipher_anew",
    "cipher_for",
    "cipher_of",
    "destroy",
    "file_patterns",
    "has_key",
    "holder_of_file",
    "is_encrypted",
    "keys",
    "rotate",
    "unseal",
]

_FILES = "files:"
"""How the names begin under which keys of files are made; no table's does."""

_RECENT_S = 1.0

_SET_ASIDE = "__quarantine"
"""The ending of the names of tables that take up rows which broke a contract of another table."""


class _Opened:
    """Wrapped key -> cipher, as long as the project is open. The row is read each time, so a destroyed key is gone."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.known = dict[str, Cipher]()
        self.recent = dict[str, tuple[float, Cipher]]()

    def close(self) -> None:
        """Forget them."""
        self.known.clear()
        self.recent.clear()


def is_encrypted(project: Project, table: str) -> bool:
    """Whether a table of this name is encrypted when it is made: as `[data.encryption]` says.

    Rows that are set aside of an encrypted table are as well.
    """
    patterns = project.config.section("data.encryption", EncryptionSection).tables
    of = table.removesuffix(_SET_ASIDE)
    return any(fnmatchcase(name, pattern) for name in {table, of} for pattern in patterns) or (
        of != table and has_key(project, of)
    )


def file_patterns(project: Project) -> tuple[str, ...]:
    """Which files of the tree are encrypted: as `[data.encryption]` says."""
    return project.config.section("data.encryption", EncryptionSection).files


def holder_of_file(patterns: Iterable[str], path: str) -> str:
    """Under which name the key of a file is made: `files:` and the first pattern that matches; '' when none does.

    Example:
        >>> holder_of_file(["secret/*"], "secret/of/all"), holder_of_file(["secret/*"], "plain")
        ('files:secret/*', '')
    """
    return next((f"{_FILES}{pattern}" for pattern in patterns if fnmatchcase(path, pattern)), "")


def has_key(project: Project, table: str) -> bool:
    """Whether a key was made for a table of this name, and not destroyed."""
    with project.database.reading() as connection:
        return store.live_key(connection, table) is not None


def cipher_for(project: Project, table: str) -> Cipher:
    """The cipher of a new table; its key is made when no table of this name has one.

    Raises:
        KeyMissing, BadKeyring: there is no key to wrap it by.
    """
    with project.database.reading() as connection:
        found = store.live_key(connection, table)
    return cipher_of(project, found or _make(project, table))


def cipher_anew(project: Project, table: str) -> Cipher:
    """The cipher of a key that is made now, whatever keys the table has. Raises KeyMissing, BadKeyring."""
    return cipher_of(project, _make(project, table, anew=True))


def cipher_of(project: Project, key: str) -> Cipher:
    """The cipher of a key by its name.

    Raises:
        KeyDestroyed: it was destroyed.
        KeyMissing: the project does not know it, or the keyring does not hold what wraps it.
    """
    with project.database.reading() as connection:
        row = store.the_key(connection, key)
    if row is None:
        raise KeyMissing(
            f"The project has no key {key}.",
            why="The data was encrypted in another project, or its database was lost.",
            fix="Restore the project's database from a backup.",
            at=key,
        )
    if row.destroyed_at is not None:
        raise _destroyed(row)
    cipher = _opened(project, row)
    project.keep(_Opened, _Opened).recent[key] = time.monotonic(), cipher
    return cipher


def cipher_again(project: Project, key: str) -> Cipher:
    """As `cipher_of`, for those who ask for the same key again and again: a key that another process destroys may still
    open what is read within a second. Errors as for `cipher_of`."""
    at, cipher = project.keep(_Opened, _Opened).recent.get(key, (0.0, None))
    return cipher if cipher is not None and time.monotonic() - at < _RECENT_S else cipher_of(project, key)


def unseal(project: Project, sealed: bytes, about: str) -> bytes:
    """What a cipher of the project sealed. Raises KeyDestroyed, KeyMissing, SealBroken."""
    return cipher_of(project, key_named(sealed)).open(sealed, about)


def keys(project: Project) -> list[TableKey]:
    """Every key there is or was, by table and age."""
    with project.database.reading() as connection:
        return [store.to_record(row) for row in store.all_keys(connection)]


def rotate(project: Project, *, reason: str = "") -> list[TableKey]:
    """Wrap every table's key by the keyring's newest key; no data is written again.

    Returns:
        The keys that were wrapped anew; none when all of them are so already.
    Raises:
        KeyMissing: a key that wrapped one of them is not in the keyring any more.
    """
    provider = provider_of(project)
    newest, done = provider.current(), list[str]()
    with project.database.reading() as connection:
        old = [row for row in store.all_keys(connection) if row.destroyed_at is None and row.master != newest]
    # Before the log is locked: a provider may be far away.
    fresh = {row.key: (row.wrapped, *_wrapped_anew(provider, row)) for row in old}
    with project.ledger.transaction(
        "keys.rotated", subject=make_ref("key", newest), actor=project.actor, reason=reason
    ) as transaction:
        for row in store.all_keys(transaction.connection):
            before, master, wrapped = fresh.get(row.key, ("", "", ""))
            # One that was destroyed or wrapped by someone else meanwhile stays so.
            if row.key in fresh and row.wrapped == before:
                changes = {"master": master, "wrapped": wrapped, "rotated_at": project.clock.now()}
                transaction.update(TABLE_KEYS, {"key": row.key}, changes)
                done.append(row.key)
        transaction.data.update(master=newest, keys=done)
    _forget_bytes(project)
    return [one for one in keys(project) if one.key in set(done)]


def destroy(project: Project, names: Iterable[str], *, reason: str) -> list[TableKey]:
    """Destroy keys by their names: what they encrypted is erased, in every copy and backup of the data.

    A backup of the database still holds the wrapped key; see docs/encryption.md.

    Raises:
        NoSuchKey: there is no such key, or it is destroyed already; nothing was destroyed.
    """
    wanted = sorted(set(names))
    with project.ledger.transaction(
        "keys.destroyed", subject=make_ref("key", ",".join(wanted)[:200] or "-"), actor=project.actor, reason=reason
    ) as transaction:
        for name in wanted:
            row = store.the_key(transaction.connection, name)
            if row is None or row.destroyed_at is not None:
                raise NoSuchKey(
                    f"There is no key {name!r} to destroy.",
                    why="It was never made, or destroyed before.",
                    fix="See what there is: bucle keys list",
                    at=name,
                )
            gone = {"wrapped": "", "destroyed_at": project.clock.now()}
            transaction.update(TABLE_KEYS, {"key": name}, gone)
        transaction.data.update(keys=wanted)
    project.keep(_Opened, _Opened).close()
    _forget_bytes(project)
    return [one for one in keys(project) if one.key in set(wanted)]


def _make(project: Project, table: str, *, anew: bool = False) -> str:
    """Make a key for a table; unless `anew`, once however many try it at a time."""
    provider = provider_of(project)
    name, key = uuid.uuid4().hex, os.urandom(KEY_BYTES)
    master, wrapped = provider.wrap(key, name.encode())
    now = project.clock.now()
    with project.ledger.transaction("keys.made", subject=make_ref("table", table), actor=project.actor) as transaction:
        found = None if anew else store.live_key(transaction.connection, table)
        transaction.data.update(key=found or name, master=master, made=found is None)
        if found is None:
            row = {"key": name, "table": table, "master": master, "made_at": now, "rotated_at": now}
            row |= {"wrapped": base64.b64encode(wrapped).decode(), "destroyed_at": None}
            transaction.insert(TABLE_KEYS, row)
    return found or name


def _wrapped_anew(provider: KeyProvider, row: Row[Any]) -> tuple[str, str]:
    key = provider.unwrap(row.master, base64.b64decode(row.wrapped), row.key.encode())
    master, wrapped = provider.wrap(key, row.key.encode())
    return master, base64.b64encode(wrapped).decode()


def _opened(project: Project, row: Row[Any]) -> Cipher:
    opened = project.keep(_Opened, _Opened)
    with opened.lock:
        found = opened.known.get(row.wrapped)
        if found is None:
            key = provider_of(project).unwrap(row.master, base64.b64decode(row.wrapped), row.key.encode())
            found = opened.known[row.wrapped] = Cipher(row.key, key)
        return found


def _destroyed(row: Row[Any]) -> KeyDestroyed:
    take_away = f"Take the table away, and make it anew if needed: data.drop_table(project, {row.table!r}, message=…)"
    if row.table.startswith(_FILES):
        take_away = "Take the files away: data.commit(project, {}, files={PATH: None}, message=…)"
    return KeyDestroyed(
        f"The key of table {row.table!r} was destroyed at {row.destroyed_at:%Y-%m-%d %H:%M} UTC.",
        why="What was encrypted with it is erased: nobody can read it any more.",
        fix=take_away,
        at=row.table,
    )


def _forget_bytes(project: Project) -> None:
    """Have the database forget the bytes of the wrapped key that stood in the row: pages, log, dead rows."""
    engine = project.database.engine
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if project.database.is_sqlite:
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.execute(sa.text("VACUUM (FULL) table_keys"))
