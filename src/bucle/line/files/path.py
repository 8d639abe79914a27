"""Paths that may stand in a file tree."""

from __future__ import annotations

from bucle.line.files.errors import BadPath

__all__ = ["check_path"]


def check_path(path: str) -> None:
    """Refuse what cannot stand in a tree.

    Raises:
        BadPath: it is absolute, climbs out, has empty parts, a backslash, a null, or is not UTF-8.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts) or not _is_text(path):
        raise BadPath(
            f"{path!r} cannot stand in a file tree.",
            why="A path is relative, UTF-8, with '/' between its parts, and never climbs out.",
            fix="Write it like 'images/0001.png'.",
            at=path,
        )


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
