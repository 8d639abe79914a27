"""Names: where the file tree keeps views, and that no commit has a table and a view under one name."""

from __future__ import annotations

from collections.abc import Container, Iterable

from bucle.ground.project import Project
from bucle.line.data.errors import ViewExists
from bucle.line.files import find_entry, load_below

__all__ = ["check_no_view", "view_file", "view_names", "view_of_file"]

_FOLDER, _ENDING = ".iceberg/views/", ".json"


def view_file(name: str) -> str:
    """The path in the file tree at which a commit keeps a view."""
    return f"{_FOLDER}{name}{_ENDING}"


def view_of_file(path: str) -> str | None:
    """The view that is kept at a path; None for other files."""
    if not (path.startswith(_FOLDER) and path.endswith(_ENDING)) or "/" in path[len(_FOLDER) :]:
        return None
    return path[len(_FOLDER) : -len(_ENDING)]


def view_names(project: Project, tree: str) -> list[str]:
    """The views in a file tree, by name.

    Cost: the blobs they lie in.
    """
    return [name for path in load_below(project, tree, _FOLDER) if (name := view_of_file(path))]


def check_no_view(project: Project, tree: str, tables: Iterable[str], known: Container[str]) -> None:
    """Whether tables may have their names.

    Args:
        tree: the commit's file tree.
        tables: those of the commit.
        known: those that were there before.
    Raises:
        ViewExists: a view has the name of a new one.
    """
    for name in tables:
        if tree and name not in known and find_entry(project, tree, view_file(name)) is not None:
            raise ViewExists(
                f"There is a view {name!r}.",
                why="Tables and views share their names: a query could mean either.",
                fix="Choose another name, or drop the view first.",
                at=name,
            )
