"""Table: a table as a branch's head has it, ready to be written to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from pyiceberg.partitioning import PartitionSpec

from bucle.ground.project import Project
from bucle.line.data import iceberg
from bucle.line.data.commit import TableState
from bucle.line.data.lake import new_folder
from bucle.line.data.manifest import DataFile, Head, Manifest, Run, keep_head, keeper, lay, load_head, load_run
from bucle.line.data.schema import Column
from bucle.line.data.sealed import cipher_for_table

_OPENED = 32
"""What was read of so many states of tables is kept."""

__all__ = ["Table", "make_state", "new_table", "open_table", "uri"]


@dataclass(frozen=True)
class Table:
    """A table as a branch's head has it.

    Attributes:
        name: what it is called there.
        folder: where its files lie, relative to the state folder.
        head: what it consists of; its long lists are loaded when asked for.
        metadata: its Iceberg metadata file.
        state: its pointer; None for a table that is yet to be.
    """

    name: str
    folder: str
    head: Head
    metadata: dict[str, Any]
    state: TableState | None
    project: Project

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns; none of a table that is yet to be."""
        return self.head.columns

    @cached_property
    def data(self) -> tuple[DataFile, ...]:
        """Its data files, in the order rows are read. Cost: linear in them, the first time."""
        return load_run(self.project, self.head.data)

    @cached_property
    def deletes(self) -> tuple[DataFile, ...]:
        """Its files of deletes. Cost: linear in them, the first time."""
        return load_run(self.project, self.head.deletes)

    @cached_property
    def manifest(self) -> Manifest:
        """All of its files. Cost: linear in them, the first time."""
        head = self.head
        return Manifest(
            columns=head.columns,
            data=self.data,
            metadata=dict(head.metadata),
            deletes=self.deletes,
            by_id=head.by_id,
            settings=head.settings,
            gone=head.gone,
            key=head.key,
        )

    @property
    def last(self) -> int:
        """The greatest field id ever given."""
        return int(self.metadata["last-column-id"])

    @property
    def is_partitioned(self) -> bool:
        """Whether its rows ever were parted into partitions."""
        return any(spec["fields"] for spec in self.metadata["partition-specs"])

    def spec(self, spec_id: int | None = None) -> PartitionSpec:
        """One of its partition specs; the one for new rows when none is named."""
        return iceberg.partition_spec(self.metadata, self.metadata["default-spec-id"] if spec_id is None else spec_id)

    @property
    def is_moved(self) -> bool:
        """Whether its Iceberg files still name each other by where the project was before."""
        return bool(self.metadata["location"] != uri(self.project.state, self.folder))

    def mover(self) -> Callable[[str], str]:
        """Says where a file lies now that Iceberg's files name as it lay before."""
        before, now = f"{self.metadata['location']}/", uri(self.project.state, self.folder)

        def moved(path: str) -> str:
            inner = path.removeprefix(before) if path.startswith(before) else f"data/{PurePosixPath(path).name}"
            return f"{now}/{inner}"

        return moved


def open_table(project: Project, state: TableState | None) -> Table | None:
    """A table at a head, ready to be written to."""
    if state is None:
        return None
    head, metadata = project.keep(_Opened, _Opened).get(project, state)
    return Table(
        name=state.name,
        folder=str(PurePosixPath(state.metadata_location).parent.parent),
        head=head,
        metadata=metadata,
        state=state,
        project=project,
    )


class _Opened:
    """What was read of the tables written to last; the files of a state never change."""

    def __init__(self) -> None:
        self._known = OrderedDict[TableState, tuple[Head, dict[str, Any]]]()
        self._lock = Lock()

    def get(self, project: Project, state: TableState) -> tuple[Head, dict[str, Any]]:
        """A state's head and metadata."""
        found = self._known.get(state)
        if found is None:
            metadata = iceberg.parse_metadata((project.state / state.metadata_location).read_bytes())
            found = load_head(project, state.manifest), metadata
            with self._lock:
                self._known[state] = found
                while len(self._known) > _OPENED:
                    self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Forget it."""
        self._known.clear()


def new_table(project: Project, name: str, folder: str = "") -> Table:
    """A table that is yet to be: it has a folder, and no columns."""
    folder = folder or new_folder(name)
    cipher = cipher_for_table(project, name, None)
    metadata = iceberg.first_metadata(uri(project.state, folder))
    head = Head(columns=(), data=Run(), metadata={}, key=cipher.name if cipher else "")
    return Table(name=name, folder=folder, head=head, metadata=metadata, state=None, project=project)


def make_state(project: Project, name: str, location: str, manifest: Manifest | Head) -> TableState:
    """Keep a manifest and return the pointer to the table it describes."""
    head = manifest if isinstance(manifest, Head) else lay(manifest, keeper(project, manifest.key))
    return TableState(
        name=name,
        metadata_location=location,
        digest=head.digest(),
        manifest=keep_head(project, head),
        rows=head.rows,
        files=head.data.files,
    )


def uri(state: Path, path: str) -> str:
    """Where Iceberg's files say that a path of the lake lies."""
    return f"file://{(state / path).as_posix()}"
