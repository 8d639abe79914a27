"""Verification of the lake: is every file that any commit needs there, with the bytes it had?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bucle.ground.core import BucleError, digest_of, digest_of_file, short
from bucle.ground.keys import KeyDestroyed
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit
from bucle.line.data.lake import load_manifest
from bucle.line.files import check_pack, hexes, load_part, packs_of, parts_of

__all__ = ["verify_files"]


def verify_files(project: Project) -> list[Fault]:
    """Read again every file of every commit whose data is kept and compare it with the digest it had.

    Returns:
        What is missing or has other bytes, each with its table; empty when all is well.
    Cost: one read of the whole lake, each file once.
    """
    with project.database.reading() as connection:
        commits = store.kept_commits(connection)
    return [*_tables(project, commits), *_trees(project, commits)]


def _tables(project: Project, commits: list[Commit]) -> Iterator[Fault]:
    manifests, seen = set[str](), set[tuple[str, str]]()
    for commit in commits:
        for name, state in commit.tables.items():
            if state.manifest in manifests:
                continue
            manifests.add(state.manifest)
            try:
                needed = load_manifest(project, state.manifest).files()
            except KeyDestroyed:
                continue  # erased on purpose
            except BucleError as error:
                yield Fault(
                    where=f"blob {short(state.manifest)}",
                    what=f"table {name}: the list of its files at commit {short(commit.id)} is lost: {error.what}",
                )
                continue
            for path, digest in needed.items():
                if (path, digest) not in seen:
                    seen.add((path, digest))
                    yield from _file(project.state / path, path, digest, f"table {name}", commit)


def _file(file: Path, path: str, digest: str, owner: str, commit: Commit) -> Iterator[Fault]:
    try:
        found = digest_of_file(file) if file.stat().st_size else digest_of(b"")
    except FileNotFoundError:
        yield Fault(where=f"file {path}", what=f"{owner}: is missing; commit {short(commit.id)} needs it")
    except OSError as error:
        yield Fault(where=f"file {path}", what=f"{owner}: cannot be read: {error.strerror}")
    else:
        if found != digest:
            yield Fault(where=f"file {path}", what=f"{owner}: has other bytes than commit {short(commit.id)} wrote")


def _trees(project: Project, commits: list[Commit]) -> Iterator[Fault]:
    """Every part of every tree once, and every content once: the packs first, then what lies in no pack."""
    named = dict[str, str]()
    parts = dict[str, Commit]()
    for commit in commits:
        try:
            parts = {**dict.fromkeys(parts_of(project, commit.files), commit), **parts}
        except BucleError as error:
            yield Fault(where=f"blob {short(commit.files)}", what=f"the file tree of {short(commit.id)}: {error.what}")
    for part, commit in parts.items():
        try:
            for path, entry in load_part(project, part).items():
                named.setdefault(entry.digest, path)
        except BucleError as error:
            yield Fault(where=f"blob {short(part)}", what=f"the file tree of {short(commit.id)}: {error.what}")
    yield from _contents(project, named)


def _contents(project: Project, named: dict[str, str]) -> Iterator[Fault]:
    """Read every pack, and every file that is in none. `named`: digest -> a path that bears it."""
    store, whole, files, faults = packs_of(project), set[str](), dict[str, list[str]](), list[Fault]()
    owners = dict(named)
    damaged = dict[str, str]()
    store.refresh()
    for name in sorted(store.names()):
        try:
            listing, wrong = check_pack(store.fetch(name))
        except (BucleError, OSError) as error:
            told = error.what if isinstance(error, BucleError) else str(error)
            faults.append(Fault(where=f"pack {short(name)}", what=f"the list of what it holds is lost: {told}"))
            continue
        files |= {digest: hexes(held) for digest, held in listing.pieces().items()}
        whole |= listing.places().keys() - wrong
        damaged |= dict.fromkeys(wrong, name)
    for digest, path in named.items():
        owners |= dict.fromkeys(files.get(digest, ()), path)
    for digest, name in damaged.items():
        what = f"file {owners[digest]}" if digest in owners else "a content that no commit names"
        faults.append(Fault(where=f"pack {short(name)}", what=f"{what}: has other bytes than were written"))
    yield from faults
    for digest, path in named.items():
        if any(part not in whole and part not in damaged for part in files.get(digest, [digest])):
            yield from _blob(project, path, digest)


def _blob(project: Project, path: str, digest: str) -> Iterator[Fault]:
    try:
        project.blobs.check(digest)
    except BucleError as error:
        yield Fault(where=f"blob {short(digest)}", what=f"file {path}: {error.what}")
