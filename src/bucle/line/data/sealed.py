"""Sealed: which tables are encrypted, and the keys of their files.

Each Parquet file has a random key of 256 bits. It stands in the table's manifest, wrapped by the table's key and bound
to the file's path; manifests and Iceberg's lists of files are encrypted with the table's key too: they hold bounds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import polars as pl

from bucle.ground.keys import Cipher, KeysOff, cipher_again, cipher_for, cipher_of, is_encrypted, key_named
from bucle.ground.project import Project
from bucle.line.data.manifest import DataFile

__all__ = ["KEY", "Ciphers", "check_all_sealed", "cipher_for_table", "cipher_of_file", "decryption_of", "new_file_key"]


KEY = "encryption.key-id"
"""The property by which Iceberg names the key of an encrypted table."""


_SPILL = "POLARS_OOC_DISK_BUDGET_MB"
"""How much Polars may write of what it holds in memory to the disk, as plain Arrow files, when memory is short."""


class Ciphers:
    """The keys of many files: each table's key is asked for once, and not again when their list was just opened."""

    def __init__(self, project: Project) -> None:
        forbid_spills()
        self._project = project
        self._known = dict[str, Cipher]()

    def file_key(self, file: DataFile) -> bytes:
        """The key of an encrypted file. Raises KeyDestroyed, KeyMissing, SealBroken."""
        name = key_named(file.key, is_key=True)
        if name not in self._known:
            self._known[name] = cipher_again(self._project, name)
        return self._known[name].file_key(file.key, file.path)

    def decryption(self, file: DataFile) -> pl.ParquetDecryptionProperties | None:
        """What Polars needs to read a file; None for one that is not encrypted. Errors as for `file_key`."""
        return pl.ParquetDecryptionProperties(footer_key=self.file_key(file)) if file.key else None


def forbid_spills() -> None:
    """Keep Polars from writing rows to the disk, from here on in this process; a query that would do so fails.

    Whoever has set the variable to something else has chosen where the rows may lie, and is not overruled.
    """
    if _SPILL not in os.environ:
        pl.Config.load(json.dumps({"environment": {_SPILL: "0"}}))


def cipher_for_table(project: Project, table: str, key: str | None) -> Cipher | None:
    """What encrypts rows written to a table; None when it is not encrypted.

    Args:
        key: the name of the key it is kept under, '' for none; None for a table that is yet to be.
    Raises:
        KeysOff: `[data.encryption]` wants it encrypted, and it has rows that are not.
        KeyDestroyed, KeyMissing: its key is gone or not at hand.
    """
    if key:
        forbid_spills()
        return cipher_of(project, key)
    if not is_encrypted(project, table):
        return None
    forbid_spills()
    if key is None:
        return cipher_for(project, table)
    raise KeysOff(
        f"Table {table!r} is to be encrypted by [data.encryption], and was made without.",
        why="What is written now would be encrypted, and what is there would not.",
        fix=f"Encrypt what is there: bucle keys encrypt {table}",
        at=table,
    )


def cipher_of_file(project: Project, file: DataFile) -> Cipher | None:
    """The cipher of the table to which a file belongs; None when the file is not encrypted."""
    return cipher_of(project, key_named(file.key, is_key=True)) if file.key else None


def new_file_key(cipher: Cipher | None, path: str) -> tuple[bytes, bytes]:
    """A random key for a file, and the same wrapped; nothing where there is no cipher."""
    return cipher.new_file_key(path) if cipher is not None else (b"", b"")


def decryption_of(project: Project, file: DataFile) -> pl.ParquetDecryptionProperties | None:
    """See `Ciphers.decryption`."""
    return Ciphers(project).decryption(file)


def check_all_sealed(table: str, key: str, files: Iterable[DataFile]) -> None:
    """Whether files may be put into a table. Raises KeysOff: some of it would be encrypted and some not."""
    odd = next((file for file in files if bool(file.key) != bool(key)), None)
    if odd is not None:
        raise KeysOff(
            f"The file {odd.path} is {'encrypted' if odd.key else 'not encrypted'}, unlike table {table!r}.",
            why="A table is encrypted as a whole or not at all.",
            fix=f"Encrypt the table on both branches (bucle keys encrypt {table}), or commit the rows themselves.",
            at=table,
        )
