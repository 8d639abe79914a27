"""Data inputs: what a run reads, named as people name data, kept as the commit it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bucle.ground.core import NotFound, UserError, encode, make_ref, split_ref
from bucle.ground.project import Project
from bucle.line.tracking import Dataset

if TYPE_CHECKING:
    from bucle.line.data import Commit

__all__ = ["known_inputs", "resolve_inputs"]

MOST = 100
"""Tables of a commit that are noted one by one, so that runs can be searched by the data they read."""


def resolve_inputs(project: Project, names: Iterable[str]) -> tuple[tuple[str, ...], list[Dataset]]:
    """What the names of inputs stand for now.

    Args:
        names: `commit/9a0b…`, `branch/main`, `main`, `main@2013-03-01T00:00:00Z`, `table/flights`,
            `table/flights@main`; any other ref is kept as it is.
    Returns:
        The refs, `commit/…` with the whole id for data; and the tables in them with the digest of their content.
    Raises:
        NoSuchCommit, NoSuchBranch, NoSuchTable: there is no such data.
    """
    refs, datasets = dict[str, None](), dict[tuple[str, str], Dataset]()
    for name in names:
        ref, tables = _resolved(project, name)
        refs[ref] = None
        datasets.update({(one.name, one.digest): one for one in tables})
    return tuple(refs), list(datasets.values())


def known_inputs(project: Project, names: Sequence[str]) -> tuple[tuple[str, ...], list[Dataset]]:
    """As `resolve_inputs`, with what is unknown here kept as it is: it may be another project's."""
    refs, datasets = list[str](), list[Dataset]()
    for name in names:
        try:
            more, tables = resolve_inputs(project, [name])
        except (NotFound, UserError):
            more, tables = (name,), []
        refs += more
        datasets += tables
    return tuple(dict.fromkeys(refs)), datasets


def _resolved(project: Project, name: str) -> tuple[str, list[Dataset]]:
    kind, at, table = _parts(name)
    if kind not in ("commit", "branch", "table"):
        return name, []
    # Data brings polars and Iceberg along; only who reads data of a project pays for them.
    from bucle.line import data  # noqa: PLC0415

    commit = data.resolve(project, at)
    if table:
        data.snapshot(project, table, at=commit.id)
    names = [table] if table else list(commit.tables)[:MOST]
    return make_ref("commit", commit.id), [_dataset(commit, one) for one in names]


def _parts(name: str) -> tuple[str, str, str]:
    """Kind of a ref, what to resolve, and the table when it names one."""
    if "/" not in name:
        return "branch", name, ""
    kind, rest, version = split_ref(name)
    if kind == "table":
        return kind, version or "main", rest
    return kind, rest if version is None else f"{rest}@{version}", ""


def _dataset(commit: Commit, table: str) -> Dataset:
    state = commit.tables[table]
    return Dataset(
        name=table,
        digest=state.digest,
        source_type="bucle",
        source=encode({"ref": make_ref("table", table, commit.id)}).decode(),
        profile=encode({"num_rows": state.rows}).decode(),
        context="training",
    )
