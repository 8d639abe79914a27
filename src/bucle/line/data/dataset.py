"""Dataset: what a table is, who answers for it, and what it may be used for.

The record is a file of the tree, `.datasets/TABLE.yaml`: it branches, merges and travels in time with its table. What
holds is what `main` says now, also of rows that are read at an earlier commit or on another branch; a table that `main`
knows nothing of is held to the record that stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal

import msgspec
import yaml

from bucle.ground.core import Record, check_name, duration_of, suggest
from bucle.ground.project import Project
from bucle.line.contracts import QUARANTINE, yaml_text
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import BadDataset, CommitExpired, NoSuchCommit
from bucle.line.data.hook import DataSection
from bucle.line.data.zone import Zone, zone_named
from bucle.line.files import FileEntry, find_entry, load_below, pieces_of

__all__ = [
    "BASES",
    "Basis",
    "Dataset",
    "InForce",
    "changed",
    "dataset",
    "dataset_file",
    "dataset_of",
    "described_by",
    "dump_dataset",
    "each_in_force",
    "in_force",
    "joined",
    "kept_for_a_time",
    "parse_dataset",
    "zones",
]

FOLDER, _ENDING = ".datasets/", ".yaml"

Basis = Literal["", "consent", "contract", "legal obligation", "vital interests", "public task", "legitimate interests"]

BASES: tuple[str, ...] = (
    "consent", "contract", "legal obligation", "vital interests", "public task", "legitimate interests",
)  # fmt: skip
"""The legal bases of Regulation (EU) 2016/679 (GDPR), article 6 (1) a to f, in its order."""

_LONGEST = 4000


class Dataset(Record, frozen=True):
    """What a table is, who answers for it, and what it may be used for.

    Attributes:
        table: the table.
        description: what it holds, for people.
        owner: who answers for it; '' leaves it to the zone.
        zone: where it lies, if no zone of `bucle.toml` names it; see `Zone`.
        purposes: what models may be trained on it for; none means anything.
        licence: an SPDX identifier, or a text.
        basis: on what grounds personal data are used, in the words of GDPR article 6 (1); '' when there are none.
        basis_note: more about it, e.g. where the consents are kept.
        retention: how long rows are kept, e.g. `730d`; '' leaves it to the zone.
        event_at: the column that says when a row happened: retention and freshness are counted by it.
    """

    table: str
    description: str = ""
    owner: str = ""
    zone: str = ""
    purposes: tuple[str, ...] = ()
    licence: str = ""
    basis: Basis = ""
    basis_note: str = ""
    retention: str = ""
    event_at: str = ""


class InForce(Record, frozen=True):
    """A record with what its zone adds.

    Attributes:
        record: as it was written.
        zone: where the table lies; '' when it lies in none.
        owner: who answers for it.
        retention: how long rows are kept; '' for ever.
    """

    record: Dataset
    zone: str = ""
    owner: str = ""
    retention: str = ""

    @property
    def keeps(self) -> timedelta | None:
        """How long rows are kept; None for ever."""
        return duration_of(self.retention)

    def allows(self, purpose: str) -> bool:
        """Whether models may be trained on it for a purpose; '' is one that was not told."""
        return not self.record.purposes or purpose in self.record.purposes


def zones(project: Project) -> dict[str, Zone]:
    """Name -> zone, as `bucle.toml` has them, in its order.

    Raises:
        ConfigError: one cannot be understood.
    """
    return project.config.section("data", DataSection).zones


def dataset(project: Project, table: str, *, at: str = MAIN) -> Dataset:
    """A table's record at a commit; an empty one when nobody has described it.

    Raises:
        NoSuchCommit: nothing answers to `at`.
        BadDataset: it cannot be understood.
    """
    return _read(project, table, resolve(project, at)) or Dataset(table=table)


def in_force(project: Project, table: str, *, at: str = MAIN) -> InForce:
    """What holds of a table now: the record of `main`, or else the one beside the rows, and what its zone adds.

    Args:
        at: where the rows are read.
    Raises:
        BadDataset: the record cannot be understood; nothing can be known to be allowed then.
    Cost: one or two looks into file trees.
    """
    head, known = head_of(project, MAIN), zones(project)
    # Rows that were set aside are held to what holds of their table.
    names = dict.fromkeys((table, table.removesuffix(QUARANTINE)))
    found = next(filter(None, (_read(project, name, head) for name in names)), None) if head is not None else None
    if found is None and not (head is not None and at in (MAIN, head.id)):
        found = next(filter(None, (_beside(project, name, at) for name in names)), None)
    record = found or Dataset(table=table)
    named = next(filter(None, (zone_named(known, name) for name in names)), "")
    zone = named or (record.zone if record.zone in known else "")
    adds = known[zone] if zone else Zone(tables=())
    return InForce(
        record=record, zone=zone, owner=record.owner or adds.owner, retention=record.retention or adds.retention
    )


def each_in_force(project: Project, tables: Iterable[str], *, at: str = MAIN) -> dict[str, InForce | BadDataset]:
    """Table -> what holds of it now, or why nobody can tell: one record that is written wrong is nothing to the others.

    Cost: of each table, as `in_force`.
    """
    found = dict[str, InForce | BadDataset]()
    for name in tables:
        try:
            found[name] = in_force(project, name, at=at)
        except BadDataset as error:
            found[name] = error
    return found


def kept_for_a_time(project: Project) -> dict[str, InForce | BadDataset]:
    """Table of `main` -> what holds of it, of those whose rows are kept for a time, or may be: nobody can tell it."""
    head = head_of(project, MAIN)
    if head is None:
        return {}
    described = {described_by(path) for path in load_below(project, head.files, FOLDER)}
    is_zoned = any(zone.retention for zone in zones(project).values())
    names = [name for name in head.tables if is_zoned or described & {name, name.removesuffix(QUARANTINE)}]
    found = each_in_force(project, names).items()
    return {name: held for name, held in found if isinstance(held, BadDataset) or held.keeps is not None}


def changed(record: Dataset, changes: Mapping[str, Any]) -> Dataset:
    """A record with some attributes changed, looked at as if somebody had written it.

    Raises:
        BadDataset: there is no such attribute, or it cannot have that value.
    """
    return _checked({**msgspec.to_builtins(record), **changes}, str(changes.get("table", record.table)))


def joined(base: Dataset, ours: Dataset, theirs: Dataset) -> Dataset | None:
    """What two sides make of a record, attribute by attribute; None when both changed one of them differently."""
    made = {name: getattr(ours, name) for name in Dataset.__struct_fields__}
    for name, mine in made.items():
        old, their = getattr(base, name), getattr(theirs, name)
        if their not in (old, mine):
            if mine != old:
                return None
            made[name] = their
    return Dataset(**made)


def dump_dataset(record: Dataset) -> str:
    """A record as YAML, without what is as by default."""
    return f"# What the table {record.table} is, and what it may be used for.\n{yaml_text(record)}"


def parse_dataset(text: str, table: str) -> Dataset:
    """The record of a table in a YAML text.

    Raises:
        BadDataset: it is no YAML, has an unknown key, a value that cannot be, or is another table's.
    """
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(table, f"it is no YAML: {_said(error)}") from error
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise _bad(table, "it is no mapping of names to values")
    return _checked({"table": table, **raw}, table)


def dataset_file(table: str) -> str:
    """The path in the file tree at which a commit keeps a table's record."""
    return f"{FOLDER}{check_name(table, 'table name')}{_ENDING}"


def described_by(path: str) -> str | None:
    """The table that a path of the file tree keeps the record of; None for other paths."""
    if not (path.startswith(FOLDER) and path.endswith(_ENDING)) or "/" in path[len(FOLDER) :]:
        return None
    return path[len(FOLDER) : -len(_ENDING)]


def _beside(project: Project, table: str, at: str) -> Dataset | None:
    try:
        return _read(project, table, resolve(project, at))
    except (NoSuchCommit, CommitExpired):
        return None


def _read(project: Project, table: str, commit: Commit) -> Dataset | None:
    entry = find_entry(project, commit.files, dataset_file(table))
    return None if entry is None else dataset_of(project, entry, table)


def dataset_of(project: Project, entry: FileEntry, table: str) -> Dataset:
    """The record of a table that a file of the tree holds. Raises BadDataset, which names the file."""
    try:
        return parse_dataset(b"".join(pieces_of(project, entry.digest)).decode(), table)
    except UnicodeDecodeError as error:
        raise _in_file(_bad(table, "it is not UTF-8 text")) from error
    except BadDataset as error:
        raise _in_file(error) from error


def _in_file(error: BadDataset) -> BadDataset:
    path = f"{FOLDER}{error.at}{_ENDING}"
    return BadDataset(f"{path}: {error.what}", why=error.why, fix=error.fix, at=path)


def _checked(raw: dict[str, Any], table: str) -> Dataset:
    fields = Dataset.__struct_fields__
    unknown = next((name for name in raw if name not in fields), None)
    if unknown is not None:
        raise _bad(table, f"there is no {unknown!r}", suggest(unknown, fields) or f"It may have: {', '.join(fields)}.")
    try:
        found = msgspec.convert(raw, Dataset)
    except msgspec.ValidationError as error:
        fix = f"A legal basis is one of: {', '.join(BASES)}." if "basis" in str(error) else ""
        raise _bad(table, str(error), fix) from error
    if found.table != table:
        raise _bad(table, f"it is the record of {found.table!r}")
    texts = (found.description, found.owner, found.licence, found.basis_note, *found.purposes)
    if any(len(text) > _LONGEST for text in texts) or not all(purpose.strip() for purpose in found.purposes):
        raise _bad(table, f"a purpose is empty, or a text longer than {_LONGEST} characters")
    if found.retention and duration_of(found.retention) is None:
        raise _bad(table, f"{found.retention!r} is no duration", "Number and unit: s, m, h, d or w, e.g. 730d.")
    return found


def _said(error: Exception) -> str:
    """What a YAML reader says, and in which line."""
    mark, what = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {what}" if mark and what else str(error).splitlines()[0]


def _bad(table: str, what: str, fix: str = "") -> BadDataset:
    return BadDataset(
        f"The record of table {table!r} cannot be used: {what}.",
        why="What it may be used for is not known.",
        fix=fix or f"Write it anew: bucle data describe {table} --file FILE.yaml",
        at=table,
    )
