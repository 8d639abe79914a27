"""Views: queries that have names, under the same history as tables.

A view is a file of the tree, `.iceberg/views/NAME.json`, and so it branches, merges and travels in time as everything
else. Tables and views share their names: a commit never has both under one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bucle.ground.core import check_name, suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.definition import View
from bucle.line.data.draft import now_ms, uri
from bucle.line.data.errors import BadMetadata, NoSuchView, ViewExists
from bucle.line.data.names import view_file, view_names
from bucle.line.data.step import Step, head_at, move_on, table_exists
from bucle.line.data.tree import change_tree
from bucle.line.files import FileEntry, find_entry, keep_files, pieces_of

__all__ = ["create_view", "drop_view", "register_view", "rename_view", "replace_view", "view", "views"]

Json = dict[str, Any]
_HEX = 64
_LONGEST = 16 << 20


def views(project: Project, *, at: str = MAIN) -> list[str]:
    """The views of a commit by name; none of a branch without a commit. Errors as for `resolve`."""
    head = head_at(project, at)
    return view_names(project, head.files) if head else []


def view(project: Project, name: str, *, at: str = MAIN) -> View:
    """A view at a commit.

    Raises:
        NoSuchView: the commit does not hold it.
        NoSuchCommit, NoSuchBranch: nothing answers to `at`.
    """
    head = head_at(project, at)
    return _load(project, head.files if head else "", name)


def create_view(
    project: Project,
    name: str,
    request: Mapping[str, Any],
    *,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> View:
    """Make a view.

    Args:
        name: no table or view may have it.
        request: `schema`, `view-version`, and if given `properties`, as in Iceberg's REST protocol.
        branch: where.
        message: why, for people.
        key: an idempotency key.
    Raises:
        BadName: the name cannot be used.
        BadMetadata: it cannot be a view.
        TableExists, ViewExists: there is one of this name.
        NoSuchBranch: there is no such branch.
    """
    from bucle.line.data.view_metadata import new_view  # noqa: PLC0415

    if request.get("location"):
        raise _bad("A view lies in the commit; leave out its location.")
    metadata = new_view(request, uuid=str(uuid.uuid4()), now_ms=now_ms(project))
    return _put(project, name, metadata, branch=branch, message=message, key=key)


def register_view(
    project: Project, name: str, location: str, *, branch: str = MAIN, message: str, key: str | None = None
) -> View:
    """Give a name to a definition that a commit had: one that was dropped, or an earlier one.

    Args:
        location: as a `View` told it.
    Raises:
        BadName: the name cannot be used.
        BadMetadata: it names no view's definition that is kept here.
        TableExists, ViewExists: there is one of this name.
    """
    digest = location.rpartition("/")[2].removesuffix(".metadata.json")
    if len(digest) != _HEX or set(digest) - set("0123456789abcdef"):
        raise _bad(f"{location[:300]!r} is the location of no view's definition.")
    metadata = _read(project, digest)
    if location != _location(project, digest, metadata):
        raise _bad(f"{location[:300]!r} is the location of no view's definition.")
    return _put(project, name, metadata, branch=branch, message=message, key=key)


def replace_view(
    project: Project,
    name: str,
    updates: Iterable[Mapping[str, Any]],
    *,
    requirements: Iterable[Mapping[str, Any]] = (),
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> View:
    """Change a view: another query, other properties.

    Args:
        updates: each with its `action`, as in Iceberg's REST protocol.
        requirements: how it must stand, as there.
    Raises:
        NoSuchView: there is none of this name.
        NotBuiltOnHead: it does not stand as required.
        BadMetadata: an update cannot be made.
    """
    from bucle.line.data.view_metadata import apply_view_updates, check_view_requirements  # noqa: PLC0415

    asked, wanted = list(updates), list(requirements)

    def step(made: Step) -> None:
        found = _definition(project, made.tree, name)
        check_view_requirements(found, wanted)
        after = apply_view_updates(found, asked, now_ms=now_ms(project))
        _change(project, made, keep_files(project, {view_file(name): _written(after)}))

    commit = move_on(project, step, branch=branch, message=message, key=key)
    return _load(project, commit.files, name)


def rename_view(
    project: Project, source: str, target: str, *, branch: str = MAIN, message: str, key: str | None = None
) -> Commit:
    """Give a view another name.

    Raises:
        BadName: the name cannot be used.
        NoSuchView: there is none called `source`.
        TableExists, ViewExists: there is one called `target`.
    """
    check_name(target, "view name")

    def step(made: Step) -> None:
        entry = _entry(project, made.tree, source)
        _check_free(project, made, target)
        _change(project, made, {view_file(source): None, view_file(target): entry})

    return move_on(project, step, branch=branch, message=message, key=key)


def drop_view(project: Project, name: str, *, branch: str = MAIN, message: str, key: str | None = None) -> Commit:
    """Take a view from a branch.

    Raises:
        NoSuchView: there is none of this name.
    """

    def step(made: Step) -> None:
        _entry(project, made.tree, name)
        _change(project, made, {view_file(name): None})

    return move_on(project, step, branch=branch, message=message, key=key)


def _put(project: Project, name: str, metadata: Json, *, branch: str, message: str, key: str | None) -> View:
    check_name(name, "view name")
    kept = keep_files(project, {view_file(name): _written(metadata)})

    def step(made: Step) -> None:
        _check_free(project, made, name)
        _change(project, made, kept)

    commit = move_on(project, step, branch=branch, message=message, key=key)
    return _load(project, commit.files, name)


def _check_free(project: Project, made: Step, name: str) -> None:
    if name in made.tables:
        raise table_exists(name)
    if find_entry(project, made.tree, view_file(name)) is not None:
        raise ViewExists(
            f"There is a view {name!r} already.",
            why="A second one of that name would hide the first.",
            fix="Choose another name, replace it, or drop it first.",
            at=name,
        )


def _change(project: Project, made: Step, changes: Mapping[str, FileEntry | None]) -> None:
    made.tree = change_tree(project, made.tree, changes)


def _load(project: Project, tree: str, name: str) -> View:
    digest = _entry(project, tree, name).digest
    metadata = _read(project, digest)
    location = _location(project, digest, metadata)
    folder = location.rpartition("/metadata/")[0]
    return View(name=name, location=location, metadata={**metadata, "location": folder})


def _definition(project: Project, tree: str, name: str) -> Json:
    return _read(project, _entry(project, tree, name).digest)


def _entry(project: Project, tree: str, name: str) -> FileEntry:
    found = find_entry(project, tree, view_file(name))
    if found is None:
        known = view_names(project, tree)
        raise NoSuchView(
            f"There is no view {name[:200]!r}.",
            why=f"There are: {', '.join(known[:20]) or 'none'}.",
            fix=suggest(name, known) or "See what there is: bucle data view list",
            at=name[:200],
        )
    return found


def _read(project: Project, digest: str) -> Json:
    """A definition; looked at as a client's would be, since the file tree is everybody's."""
    from bucle.ground.store import BlobMissing  # noqa: PLC0415
    from bucle.line.data.view_metadata import parse_view  # noqa: PLC0415

    try:
        metadata: Json = msgspec.json.decode(_content(project, digest), type=dict[str, Any])
    except (msgspec.DecodeError, BlobMissing) as error:
        raise _bad(f"What {digest[:12]} names is no view's definition.") from error
    parse_view(metadata)
    return metadata


def _content(project: Project, digest: str) -> bytes:
    """Its bytes; only the first of what is too long for a definition, which then is none."""
    read = bytearray()
    for piece in pieces_of(project, digest):
        read += piece
        if len(read) > _LONGEST:
            break
    return bytes(read[:_LONGEST])


def _location(project: Project, digest: str, metadata: Mapping[str, Any]) -> str:
    return uri(project, f"views/{metadata['view-uuid']}/metadata/{digest}.metadata.json")


def _written(metadata: Json) -> bytes:
    return msgspec.json.encode(metadata, order="sorted")


def _bad(what: str) -> BadMetadata:
    return BadMetadata(what, why="Nothing was changed.", fix="See what views are here: docs/iceberg.md")
