"""Files: those of a folder or a bucket; what is new since the last look is told by name, size and time or etag."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bucle.ground.project import Project
from bucle.line.sources.errors import SourceChanged, SourceTooLarge
from bucle.line.sources.formats import read_file
from bucle.line.sources.pulled import Desk, Part, Pulled, failed
from bucle.line.sources.source import Source

__all__ = ["pull_files", "pull_listed"]

Listing = Mapping[str, list[Any]]
"""Name -> size, and what changes when the content does."""

_UNFINISHED = (".part", ".tmp", ".crdownload", "~")


def pull_files(desk: Desk) -> Pulled | None:
    """The rows of local files; None when there is nothing new.

    Raises:
        SourceChanged: a file whose rows have landed is another now.
        SourceFailed: there is no such file.
    """
    root = desk.project.root
    listed = _listed(desk.project, desk.source)

    def fetch(name: str, _: Path) -> Path:
        return root / name

    def still(name: str) -> bool:
        return (root / name).is_file() and _identity(root / name) == listed[name]

    return pull_listed(desk, listed, fetch, still)


def pull_listed(
    desk: Desk, listed: Listing, fetch: Callable[[str, Path], Path], still: Callable[[str], bool]
) -> Pulled | None:
    """The rows of files that were listed; of all when one is new and the source is read in full, else of new ones.

    Args:
        fetch: name and a path for a copy -> where the file can be read.
        still: whether the file is the one that was listed, asked after it was read.
    """
    source, known = desk.source, desk.before.get("files", {})
    _check_sizes(source, listed)
    if source.sync == "full":
        if dict(listed) == known:
            return None
        names, after = list(listed), dict(listed)
    else:
        for name, identity in listed.items():
            if name in known and known[name] != identity:
                raise _changed(source, name)
        names, after = [name for name in listed if name not in known], {**known, **listed}
        if not names:
            return None
    return Pulled(parts=_read(desk, names, fetch, still), after=lambda _: {"files": after})


def _read(
    desk: Desk, names: list[str], fetch: Callable[[str, Path], Path], still: Callable[[str], bool]
) -> Iterator[Part]:
    for number, name in enumerate(names):
        path = fetch(name, desk.folder / f"copy-{number}")
        if path.is_file() and path.stat().st_size == 0:
            continue
        yield read_file(desk.source, path, name)
        if not still(name):
            raise SourceChanged(
                f"The file {name!r} was changed while it was read.",
                why="Half of one state and half of another would land.",
                fix="Nothing: the next run reads it again. Let writers write elsewhere and move files here whole.",
                at=desk.source.name,
            )


def _listed(project: Project, source: Source) -> dict[str, list[Any]]:
    root = project.root
    if source.kind == "folder":
        folder = root / source.location
        if not folder.is_dir():
            raise failed(source, f"there is no folder {source.location!r}")
        found: Iterable[Path] = folder.glob(source.pattern)
    elif "*" in source.location:
        base = root / Path(source.location.partition("*")[0]).parent
        below = str(Path(source.location)).removeprefix(str(Path(source.location.partition("*")[0]).parent)).lstrip("/")
        found = base.glob(below)
    else:
        if not (root / source.location).is_file():
            raise failed(source, f"there is no file {source.location!r}")
        found = [root / source.location]
    # The file system's clock, whatever the project's says: it is what stamps files.
    now = time.time()
    listed = dict[str, list[Any]]()
    for path in sorted(found):
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(_UNFINISHED):
            continue
        if source.settle_s <= now - path.stat().st_mtime:
            name = path.relative_to(root) if path.is_relative_to(root) else path
            listed[name.as_posix()] = _identity(path)
    return listed


def _identity(path: Path) -> list[Any]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _check_sizes(source: Source, listed: Listing) -> None:
    for name, (size, *_) in listed.items():
        if size > source.largest_bytes:
            raise SourceTooLarge(
                f"{name!r} has {size} bytes.",
                why=f"Source {source.name!r} takes at most {source.largest_bytes} of one file.",
                fix="Set `largest_bytes:` in its file.",
                at=source.name,
            )


def _changed(source: Source, name: str) -> SourceChanged:
    return SourceChanged(
        f"The file {name!r} has landed and was changed since.",
        why="Its rows would be there twice, or old ones beside new ones.",
        fix=f"Write new rows to new files; or to read all anew: bucle sources run {source.name} --full",
        at=source.name,
    )
