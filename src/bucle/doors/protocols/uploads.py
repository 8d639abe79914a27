"""Uploads: files that take in what a client sends, until they are kept or thrown away; none outlives its server."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
from pathlib import Path

import psutil

__all__ = ["ABANDONED_S", "Uploads"]

FOLDER = "uploads"
OLD = "upload-*"
"""How files were named that lay beside the folder before."""

ABANDONED_S = 24 * 3600.0
"""A file of another machine, or of nobody we know, is gone when nothing was written to it for so long."""

_log = logging.getLogger("bucle.uploads")


class Uploads:
    """Where a server's uploads lie: each file bears the name of its machine and process.

    Args:
        state: the project's own folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / FOLDER

    def new(self) -> Path:
        """An empty file of this process. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=f"{_host()}-{os.getpid()}-")
        os.close(handle)
        return Path(name)

    def sweep(self) -> None:
        """Throw away what servers that were killed left; what belongs to a living process stays."""
        for file in (*self._folder.glob("*"), *self._state.glob(OLD)):
            try:
                if _is_abandoned(file):
                    file.unlink()
            except FileNotFoundError:
                continue  # its server was quicker
            except OSError:
                _log.warning("a file of an upload that never ended cannot be removed: %s", file.name)


def _is_abandoned(file: Path) -> bool:
    written_at = file.stat().st_mtime
    host, _, rest = file.name.partition("-")
    pid = rest.partition("-")[0]
    if host != _host() or not pid.isdecimal():
        return time.time() - written_at > ABANDONED_S
    try:
        # A process begun after the last byte was written has the number of the one that wrote it, and is another.
        return psutil.Process(int(pid)).create_time() > written_at
    except psutil.NoSuchProcess:
        return True


def _host() -> str:
    return socket.gethostname().replace("-", "_").replace("/", "_")
