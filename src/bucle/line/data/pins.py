"""Import by URL: a file of the tree whose bytes stay where they are."""

from __future__ import annotations

from bucle.ground.keys import KeysOff, file_patterns, holder_of_file
from bucle.ground.project import Project
from bucle.line.data.add import publish_files
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.commit import Commit
from bucle.line.data.errors import NoSuchFile
from bucle.line.files import PIN, BadPath, FileEntry, check_path, find_entry, keep_pin, load_below, look_at_url, pin_of

__all__ = ["import_url", "update_url"]


def import_url(project: Project, url: str, path: str, *, branch: str = MAIN, message: str = "") -> Commit:
    """Make a file of the tree what a URL names now; its bytes are neither read nor kept.

    Reading the file fetches them, and refuses what has changed since.

    Args:
        url: `s3://bucket/key`, `http(s)://…`, `file:///path` or a local path.
        path: where in the tree.
        branch: where it becomes visible.
        message: why.
    Returns:
        The branch's head: a new commit, or the present one when it has this version already.
    Raises:
        BadUrl: the URL names nothing, or its server tells no versions.
        BadPath: the path cannot stand in a tree, or is a folder there.
        NoSuchBranch: there is no such branch.
        KeysOff: files of this path are encrypted.
    Cost: one request.
    """
    check_path(path)
    if holder_of_file(file_patterns(project), path):
        raise KeysOff(
            f"{path!r} is to be encrypted, and what a URL names is not.",
            why="Its bytes stay where they are, and whoever reads them gets a plain copy within the project.",
            fix="Fetch it and add it as a file, or import it to another path.",
            at=path,
        )
    head = head_of(project, branch)
    tree = head.files if head else ""
    if load_below(project, tree, f"{path}/"):
        raise BadPath(
            f"{path!r} is a folder of the tree.", why="It cannot be a file too.", fix="Choose another path.", at=path
        )
    entry = keep_pin(project, look_at_url(project, url))
    changes: dict[str, FileEntry | None] = {} if find_entry(project, tree, path) == entry else {path: entry}
    return publish_files(project, changes, head, branch=branch, message=message or f"import {url}", key=None)


def update_url(project: Project, path: str, *, branch: str = MAIN, message: str = "") -> Commit:
    """Move the pin of a file to what its URL names now; see `import_url`.

    Raises:
        NoSuchFile: there is no file of that path, or its bytes are kept here.
    """
    head = head_of(project, branch)
    entry = find_entry(project, head.files if head else "", path)
    if entry is None or entry.mode != PIN:
        raise NoSuchFile(
            f"There is no file {path!r} on {branch!r} that was imported by URL.",
            why="Only such a file has a URL to be asked again.",
            fix="Import it: bucle data import-url URL PATH",
            at=path,
        )
    url = pin_of(project, entry).url
    return import_url(project, url, path, branch=branch, message=message or f"update {path} from {url}")
