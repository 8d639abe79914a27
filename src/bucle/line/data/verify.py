"""Verification of the lake: is every file that any commit needs there, with the bytes it had?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bucle.ground.core import BucleError, digest_of, digest_of_file, short
from bucle.ground.ledger import Fault
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit
from bucle.line.data.filetree import load_tree
from bucle.line.data.lake import load_manifest

__all__ = ["verify_files"]


def verify_files(project: Project) -> list[Fault]:
    """Read again every file of every commit, on whatever branch, and compare it with the digest it had.

    Returns:
        What is missing or has other bytes, each with its table; empty when all is well.
    Cost: one read of the whole lake, each file once.
    """
    with project.database.reading() as connection:
        commits = store.every_commit(connection)
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
    trees, seen = set[str](), set[str]()
    for commit in commits:
        if not commit.files or commit.files in trees:
            continue
        trees.add(commit.files)
        try:
            tree = load_tree(project, commit.files)
        except BucleError as error:
            yield Fault(where=f"blob {short(commit.files)}", what=f"the file tree of {short(commit.id)}: {error.what}")
            continue
        for path, entry in tree.items():
            if entry.digest not in seen:
                seen.add(entry.digest)
                yield from _blob(project, path, entry.digest)


def _blob(project: Project, path: str, digest: str) -> Iterator[Fault]:
    try:
        project.blobs.get(digest)
    except BucleError as error:
        yield Fault(where=f"blob {short(digest)}", what=f"file {path}: {error.what}")
