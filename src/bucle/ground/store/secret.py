"""Secrets of a project that lie beside its database: random bytes in a file that its owner alone may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["secret_of"]

_BYTES = 32


def secret_of(path: Path) -> bytes:
    """The 32 random bytes in a file, made with mode 0600 at first use; all who come at once get the same."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, not a replacement: who came first has given the key.
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
