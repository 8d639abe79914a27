"""DVC projects: imported into the file tree, MD5 by MD5, and written so that DVC itself takes them for its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from bucle.ground.core import Record
from bucle.ground.keys import KeysOff, file_patterns, holder_of_file
from bucle.ground.project import Project
from bucle.ground.store import Objects, open_objects, write_atomically
from bucle.line.data.add import changes_to, publish_files
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.checkout import checkout
from bucle.line.data.dvcfile import DvcOutput, DvcStage, DvcWorkspace, manifest, parse_manifest, read_dvc
from bucle.line.data.dvcstore import DvcStore, hashed, md5_of, md5_of_list, name_of
from bucle.line.data.errors import BadDvcProject
from bucle.line.data.remotes import s3_of
from bucle.line.files import (
    FileEntry,
    Filler,
    Tree,
    check_path,
    filling,
    load_below,
    packs_of,
    place_in_tree,
)

__all__ = ["DvcExport", "DvcImport", "export_dvc", "import_dvc"]


class DvcImport(Record, frozen=True):
    """What was imported from DVC.

    Attributes:
        commit: the commit that has it.
        files: how many files.
        size_bytes: how long they are together.
        outputs: what DVC kept.
        stages: the steps of its pipelines, with the parameters of their last run.
    """

    commit: str
    files: int
    size_bytes: int
    outputs: tuple[str, ...]
    stages: tuple[DvcStage, ...]


class DvcExport(Record, frozen=True):
    """What was written for DVC.

    Attributes:
        folder: the DVC project.
        files: how many files it has.
        outputs: what DVC keeps of it.
        objects: how many contents were written to its cache.
    """

    folder: str
    files: int
    outputs: tuple[str, ...]
    objects: int


def import_dvc(
    project: Project, folder: Path | str, path: str | None = None, *, branch: str = MAIN, message: str = ""
) -> DvcImport:
    """Make the tree below a path what a DVC project keeps, in one commit.

    That is every output of its `.dvc` files and pipelines with the bytes of its MD5, from the cache, the workspace or
    a remote (a folder or S3); and as they are the files that describe it (`*.dvc`, `dvc.yaml`, `dvc.lock`), the code
    and parameters that its stages read, and the metrics they wrote. Nothing of it is run.

    Args:
        folder: the DVC project; DVC 1 to 3 wrote it.
        path: where in the tree; the folder's name unless given.
        branch: where it becomes visible.
        message: why.
    Raises:
        BadDvcProject: it is none, cannot be understood, or a content is nowhere to be had; then nothing is kept.
        NoSuchBranch: there is no such branch.
        BadPath: a name cannot stand in a tree.
        BucketFailed, DiskFull: a remote does not answer, or there is no room.
        KeysOff: a file of it would have to be encrypted.
    Cost: one MD5 and one copy of every content.
    """
    found, place = read_dvc(Path(folder)), place_in_tree(Path(folder), path)
    packs, head = packs_of(project), head_of(project, branch)
    with packs.held():
        tree = load_below(project, head.files if head else "", place)
        base = {path[len(place) :]: entry for path, entry in tree.items()}
        with filling(packs) as filler:
            entries = _entries(project, found, filler, place)
            filler.settle()
        told = message or f"import the DVC project {Path(folder).resolve().name}"
        made = publish_files(project, changes_to(entries, base, place), head, branch=branch, message=told, key=None)
    return DvcImport(
        commit=made.id,
        files=len(entries),
        size_bytes=sum(entry.size_bytes for entry in entries.values()),
        outputs=tuple(one.path for one in found.outputs),
        stages=found.stages,
    )


def export_dvc(project: Project, folder: Path | str, path: str = "", *, at: str = MAIN, remote: str = "") -> DvcExport:
    """Write the files below a path as a DVC project: the files, DVC's cache, and what describes them.

    What an import brought is described as it was; of the rest each file or folder at the top is an output of its own,
    with a `.dvc` beside it. The stages of `dvc.yaml` come out as they came in.

    Args:
        folder: where; it is made when it is not there.
        path: of the tree; '' for all of it.
        at: a branch or commit.
        remote: a folder or `s3://…` that gets the contents as well, and stands in DVC's settings; for `dvc pull`.
    Raises:
        NoSuchFile, NoSuchBranch, NoSuchCommit: there is nothing.
        LocalChanges: a file that is kept nowhere would be written over.
        BadDvcProject: the folder has a DVC project already that is not what would be written.
        BucketFailed, DiskFull: it could not be written.
    Cost: one MD5 and two copies of every content; three with a remote.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    checkout(project, root, path, at=at)
    far = open_objects(remote, s3_of(project)) if remote else None
    _settings(root, far)
    described = read_dvc(root)
    inside = [one.path for one in described.outputs]
    for name in sorted(one.name for one in root.iterdir()):
        if name in (".dvc", ".git", ".gitignore", ".bucle", "bucle.toml") or name in described.files:
            continue
        owned = [one for one in (*inside, *described.files) if one == name or one.startswith(f"{name}/")]
        if not owned:
            _describe(root, name)
    described = read_dvc(root)
    objects = _Objects(root, Path(described.cache), far)
    for output in described.outputs:
        if output.is_cached and output.md5:
            objects.put(output)
    return DvcExport(
        folder=str(root.resolve()),
        files=sum(1 for one in root.rglob("*") if one.is_file() and ".dvc" not in one.relative_to(root).parts),
        outputs=tuple(one.path for one in described.outputs),
        objects=objects.count,
    )


def _entries(project: Project, found: DvcWorkspace, filler: Filler, place: str) -> Tree:
    store, root, entries = DvcStore(project, found), Path(found.root), Tree()
    patterns = file_patterns(project)
    for output in found.outputs:
        if not output.is_cached or not output.md5:
            continue
        for within, md5 in _members(store, output, root).items():
            _check_plain(patterns, place + within)
            with store.file(md5, beside=root / within, is_legacy=output.is_legacy) as file:
                if file is None:
                    raise _nowhere(within, md5, found)
                entries[within] = _kept(filler, file)
    for within in found.files:
        _check_plain(patterns, place + within)
        entries.setdefault(within, _kept(filler, root / within))
    return entries


def _check_plain(patterns: Iterable[str], path: str) -> None:
    """Refuse what cannot stand in a tree, and what is to be encrypted: what a remote has is fetched in plain text."""
    check_path(path)
    if holder_of_file(patterns, path):
        raise KeysOff(
            f"{path!r} is to be encrypted, and an import from DVC would lay it down in plain text for a moment.",
            why="Whoever stops it then finds it there.",
            fix="Check the DVC project out (dvc pull) and add its folder: bucle data add-files",
            at=path,
        )


def _members(store: DvcStore, output: DvcOutput, root: Path) -> dict[str, str]:
    """Path -> MD5 of the files of an output."""
    if not output.md5.endswith(".dir"):
        return {output.path: output.md5}
    with store.file(output.md5) as listed:
        if listed is not None:
            members = parse_manifest(listed.read_bytes(), output.md5)
            return {f"{output.path}/{within}": md5 for within, md5 in members.items()}
    folder = root / output.path  # the list itself is lost, but the folder may still be what it listed
    members = hashed(folder, is_legacy=output.is_legacy) if folder.is_dir() else {}
    if md5_of_list(manifest(members)) != output.md5:
        raise BadDvcProject(
            f"The list of the files of {output.path!r} is nowhere to be had.",
            why=f"{output.md5} is neither in DVC's cache nor in a remote that can be read.",
            fix="Fetch it with `dvc fetch`, then import again.",
            at=output.path,
        )
    return {f"{output.path}/{within}": md5 for within, md5 in members.items()}


def _kept(filler: Filler, file: Path) -> FileEntry:
    status = file.stat()
    digest, size = filler.put_path(str(file), status.st_size)
    return FileEntry(digest=digest, size_bytes=size, mode=0o755 if status.st_mode & 0o100 else 0o644)


class _Objects:
    """DVC's cache of a project, and a remote, being filled from its workspace."""

    def __init__(self, root: Path, cache: Path, far: Objects | None) -> None:
        self._root, self._cache, self._far = root, cache, far
        self._there = far.sizes("files/") if far is not None else {}
        self.count = 0

    def put(self, output: DvcOutput) -> None:
        """Keep an output's bytes under their MD5s."""
        target, legacy = self._root / output.path, output.is_legacy
        if output.md5.endswith(".dir"):
            members = hashed(target, is_legacy=legacy)
            self._check(output, md5_of_list(manifest(members)))
            for within, md5 in members.items():
                self._put(name_of(md5, is_legacy=legacy), target / within)
            listed = self._cache / name_of(output.md5, is_legacy=legacy)
            write_atomically(listed, manifest(members))
            self._put(name_of(output.md5, is_legacy=legacy), listed)
        else:
            self._check(output, md5_of(target, is_legacy=legacy))
            self._put(name_of(output.md5, is_legacy=legacy), target)

    def _put(self, name: str, file: Path) -> None:
        target = self._cache / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            shutil.copyfile(file, partial)
            partial.chmod(0o444)
            partial.replace(target)
        self.count += 1
        if self._far is not None and name not in self._there:
            self._far.send(name, target)

    def _check(self, output: DvcOutput, md5: str) -> None:
        if md5 != output.md5:
            raise BadDvcProject(
                f"{output.path!r} is not what its description says.",
                why=f"Its MD5 is {md5}, described is {output.md5}: the file was committed without DVC knowing.",
                fix="Remove its .dvc file from the tree (or run the stage again), and export anew.",
                at=output.path,
            )


def _describe(root: Path, name: str) -> None:
    """Write the `.dvc` of a file or folder, and keep git's hands off it."""
    target = root / name
    if target.is_dir():
        members = hashed(target)
        size = sum((target / within).stat().st_size for within in members)
        told = {"md5": md5_of_list(manifest(members)), "size": size, "nfiles": len(members)}
    else:
        told = {"md5": md5_of(target), "size": target.stat().st_size}
    text = yaml.safe_dump({"outs": [{**told, "hash": "md5", "path": name}]}, sort_keys=False, allow_unicode=True)
    write_atomically(root / f"{name}.dvc", text.encode())
    ignore = root / ".gitignore"
    lines = ignore.read_text().splitlines() if ignore.is_file() else []
    if f"/{name}" not in lines:
        write_atomically(ignore, "".join(f"{line}\n" for line in [*lines, f"/{name}"]).encode())


def _settings(root: Path, far: Objects | None) -> None:
    folder = root / ".dvc"
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, b"/config.local\n/tmp\n/cache\n")
    config = folder / "config"
    if not config.exists():
        core = "" if (root / ".git").exists() else "    no_scm = True\n"
        core += "    remote = bucle\n" if far is not None else ""
        text = f"[core]\n{core}" if core else ""
        text += f"['remote \"bucle\"']\n    url = {far.url}\n" if far is not None else ""
        write_atomically(config, text.encode())


def _nowhere(path: str, md5: str, found: DvcWorkspace) -> BadDvcProject:
    places: Mapping[str, None] = dict.fromkeys([found.cache, *(one.url for one in found.remotes)])
    return BadDvcProject(
        f"The bytes of {path!r} are nowhere to be had.",
        why=f"None of {', '.join(places)} has {md5}, or what is there has another MD5; nothing was imported.",
        fix="Fetch them with `dvc fetch`, then import again.",
        at=path,
    )
