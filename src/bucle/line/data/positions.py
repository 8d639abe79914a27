"""Positions: which rows of which data files are gone, in files of deletes that never name a row twice.

Source: Apache Iceberg table spec, format version 2, "Position Delete Files".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import numpy as np
import polars as pl

from bucle.ground.core import digest_of
from bucle.ground.project import Project
from bucle.line.data.iceberg import new_snapshot_id
from bucle.line.data.lake import Shelf
from bucle.line.data.manifest import DataFile
from bucle.line.data.parquet import write_positions
from bucle.line.data.sealed import cipher_of_file, decryption_of, new_file_key

__all__ = ["Positions", "file_of_deletes", "gone_of", "positions_of", "scoped"]

Positions = dict[str, np.ndarray]
"""Path of a data file -> int64[n], the positions of its rows that are gone, rising, each once."""


def positions_of(project: Project, deletes: Iterable[DataFile]) -> Positions:
    """Which rows files of deletes name; data files are named by their path in the lake, wherever it lay before.

    Args:
        project: whose lake it is.
    Cost: reads the files.
    """
    found = defaultdict[str, list[np.ndarray]](list)
    for file in deletes:
        if file.of:
            found[file.of].append(_read(project, file)["pos"].to_numpy())
            continue
        folder = str(PurePosixPath(file.path).parent.parent)
        for (named,), rows in _read(project, file).group_by("file_path"):
            found[_inner(folder, str(named))].append(rows["pos"].to_numpy())
    return {path: np.unique(np.concatenate(parts)) for path, parts in found.items()}


def gone_of(project: Project, data: Iterable[DataFile], deletes: Iterable[DataFile]) -> int | None:
    """How many rows of these data files are gone; None when that is the sum of the deletes' rows."""
    listed = list(deletes)
    if all(file.of for file in listed) and len({file.of for file in listed}) == len(listed):
        return None
    found = positions_of(project, listed)
    count = sum(len(found[file.path]) for file in data if file.path in found)
    return None if count == sum(file.rows for file in listed) else count


def file_of_deletes(shelf: Shelf, data: DataFile, positions: np.ndarray, location: str, content: str = "") -> DataFile:
    """Write a file that names rows of one data file.

    Args:
        positions: int64[n], rising; rows that no other file of deletes names.
        location: the data file, as Iceberg's manifests name it.
        content: what the file is to be known by; made from the positions when ''.
    """
    folder = str(PurePosixPath(data.path).parent)
    path = f"{folder}/{new_snapshot_id():016x}-deletes.parquet"
    key, wrapped = new_file_key(cipher_of_file(shelf.project, data), path)
    digest, size_bytes = shelf.fill(path, lambda target: write_positions(location, positions, target, key=key))
    return DataFile(
        path=path,
        digest=digest,
        rows=len(positions),
        size_bytes=size_bytes,
        spec_id=data.spec_id,
        partition=data.partition,
        of=data.path,
        content=content or digest_of(data.digest.encode() + positions.astype("<i8").tobytes()),
        key=wrapped,
    )


def scoped(shelf: Shelf, data: Mapping[str, DataFile], deletes: Iterable[DataFile], root: str) -> list[DataFile]:
    """The same deletes in new files, each about one data file and naming it as it lies now.

    Args:
        data: path -> live data file; rows of others are forgotten.
        root: the URI of the state folder.
    """
    made = list[DataFile]()
    for file in deletes:
        for path, positions in positions_of(shelf.project, [file]).items():
            if path in data:
                content = file.content or file.digest if file.of else ""
                made.append(file_of_deletes(shelf, data[path], positions, f"{root}/{path}", content))
    return made


def _read(project: Project, file: DataFile) -> pl.DataFrame:
    path, decryption = project.state / file.path, decryption_of(project, file)
    rows = pl.scan_parquet(path, hive_partitioning=False, glob=False, decryption=decryption)
    return rows.select("file_path", "pos").collect()


def _inner(folder: str, named: str) -> str:
    """The path in the lake of a data file that was named by where it lay."""
    mark = f"/{folder}/"
    return f"{folder}/{named.rpartition(mark)[2]}" if mark in named else f"{folder}/data/{PurePosixPath(named).name}"
