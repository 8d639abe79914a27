"""The queries over commits and branches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.core import decode, encode
from bucle.ground.ledger import Transaction
from bucle.line.data.branch import MAIN, Branch
from bucle.line.data.commit import Commit
from bucle.line.data.pointers import Pointers, cut, join
from bucle.line.data.tables import BRANCHES, COMMITS, EXPIRED, FILE_NOTES, PROTECTIONS, REVIEWS, TABLE_PARTS, TAGS

__all__ = [
    "ancestors",
    "commit_of",
    "commits_with_prefix",
    "drop_file_notes",
    "every_commit",
    "expire_commits",
    "expired_at",
    "file_notes",
    "graph",
    "history",
    "is_ancestor",
    "kept_commits",
    "list_branches",
    "list_reviews",
    "list_tags",
    "newest_until",
    "next_review",
    "parting",
    "protections_of",
    "put_branch",
    "put_commit",
    "put_file_notes",
    "the_branch",
    "the_review",
    "the_tag",
]

_PARAMETERS = 500
"""So many values a statement; databases limit them."""

_FIRST_LOOK = 64
"""So many generations below both heads are looked through first for where they parted."""

# Statements of every commit; putting one together takes longer than running it.
_BRANCH = sa.select(BRANCHES).where(BRANCHES.c.name == sa.bindparam("wanted"))
_COMMIT = sa.select(COMMITS).where(COMMITS.c.id == sa.bindparam("wanted"))
_GENERATION = sa.select(COMMITS.c.generation).where(COMMITS.c.id == sa.bindparam("wanted"))
_GENERATIONS = sa.select(COMMITS.c.id, COMMITS.c.generation).where(
    COMMITS.c.id.in_([sa.bindparam("wanted"), sa.bindparam("first"), sa.bindparam("second")])
)
_PART = sa.select(TABLE_PARTS).where(TABLE_PARTS.c.digest == sa.bindparam("wanted"))
_PROTECTIONS = sa.select(PROTECTIONS).order_by(PROTECTIONS.c.branch)

ANCESTRY = (COMMITS.c.id, COMMITS.c.parent, COMMITS.c.merged, COMMITS.c.generation)


def the_branch(connection: Connection, name: str) -> Branch | None:
    """A branch, or None. `main` is always there, with no head before the first commit."""
    row = connection.execute(_BRANCH, {"wanted": name}).one_or_none()
    if row is not None:
        return Branch(**row._mapping)
    return Branch(name=MAIN, head="", at=None, actor="") if name == MAIN else None


def list_branches(connection: Connection) -> list[Branch]:
    """Every branch by name."""
    rows = connection.execute(sa.select(BRANCHES).order_by(BRANCHES.c.name))
    found = [Branch(**row._mapping) for row in rows]
    missing = [] if any(branch.name == MAIN for branch in found) else [Branch(name=MAIN, head="", at=None, actor="")]
    return sorted([*found, *missing], key=lambda branch: branch.name)


def put_branch(transaction: Transaction, name: str, head: str, *, at: datetime, actor: str) -> None:
    """Make a branch or move it."""
    transaction.put(BRANCHES, {"name": name, "head": head, "at": at, "actor": actor})


def the_tag(connection: Connection, name: str) -> dict[str, Any] | None:
    """A tag's row, or None."""
    row = connection.execute(sa.select(TAGS).where(TAGS.c.name == name)).one_or_none()
    return None if row is None else dict(row._mapping)


def list_tags(connection: Connection) -> list[dict[str, Any]]:
    """Every tag's row by name."""
    return [dict(row._mapping) for row in connection.execute(sa.select(TAGS).order_by(TAGS.c.name))]


def protections_of(connection: Connection) -> list[dict[str, Any]]:
    """Every row of protected branches by name."""
    return [dict(row._mapping) for row in connection.execute(_PROTECTIONS)]


def the_review(connection: Connection, number: int) -> dict[str, Any] | None:
    """A review's row, or None."""
    row = connection.execute(sa.select(REVIEWS).where(REVIEWS.c.number == number)).one_or_none()
    return None if row is None else dict(row._mapping)


def list_reviews(connection: Connection, state: str | None, limit: int) -> list[dict[str, Any]]:
    """Reviews' rows, newest first; only those in a state unless it is None."""
    query = sa.select(REVIEWS).order_by(REVIEWS.c.number.desc()).limit(limit)
    query = query if state is None else query.where(REVIEWS.c.state == state)
    return [dict(row._mapping) for row in connection.execute(query)]


def next_review(connection: Connection) -> int:
    """The number of the review that comes next."""
    return int(connection.execute(sa.select(sa.func.max(REVIEWS.c.number))).scalar() or 0) + 1


def commit_of(connection: Connection, commit_id: str) -> Commit | None:
    """The commit with this id, or None."""
    row = connection.execute(_COMMIT, {"wanted": commit_id}).one_or_none()
    return None if row is None else _commit(connection, row)


def commits_with_prefix(connection: Connection, prefix: str, limit: int = 2) -> list[Commit]:
    """Commits whose id starts so, at most `limit`."""
    query = sa.select(COMMITS).where(COMMITS.c.id.startswith(prefix, autoescape=True)).order_by(COMMITS.c.id)
    return [_commit(connection, row) for row in connection.execute(query.limit(limit))]


def every_commit(connection: Connection) -> list[Commit]:
    """All commits, parents before children."""
    query = sa.select(COMMITS).order_by(COMMITS.c.generation, COMMITS.c.id)
    return [_commit(connection, row) for row in connection.execute(query)]


def kept_commits(connection: Connection, *, expired_after: datetime | None = None) -> list[Commit]:
    """All commits whose data is kept, parents before children.

    Args:
        expired_after: those that expired after it are told as well.
    """
    query = sa.select(COMMITS).outerjoin(EXPIRED, EXPIRED.c.commit == COMMITS.c.id)
    kept: sa.ColumnElement[bool] = EXPIRED.c.commit.is_(None)
    if expired_after is not None:
        kept = sa.or_(kept, EXPIRED.c.expired_at > expired_after)
    rows = connection.execute(query.where(kept).order_by(COMMITS.c.generation, COMMITS.c.id))
    return [_commit(connection, row) for row in rows]


def expired_at(connection: Connection, commit_id: str) -> datetime | None:
    """When a commit's data was given up; None when it was not."""
    found = connection.execute(sa.select(EXPIRED.c.expired_at).where(EXPIRED.c.commit == commit_id)).scalar()
    return found if isinstance(found, datetime) else None


def expire_commits(transaction: Transaction, commits: Iterable[str], *, at: datetime, actor: str) -> None:
    """Give up the data of commits."""
    for one in commits:
        transaction.put(EXPIRED, {"commit": one, "expired_at": at, "actor": actor})


def put_commit(transaction: Transaction, commit: Commit) -> bool:
    """Keep a commit; one that is there already has the same content and stays. Whether it is new."""
    first, second, *_ = (*commit.parents, "", "")
    rows = transaction.connection.execute(_GENERATIONS, {"wanted": commit.id, "first": first, "second": second})
    known = {row.id: row.generation for row in rows}
    if commit.id in known:
        return False
    row: dict[str, Any] = {
        "id": commit.id,
        "parent": first,
        "merged": second,
        "generation": max(known.values(), default=-1) + 1,
        "at": commit.at,
        "author": commit.author,
        "message": commit.message,
        "tables": encode(_keep_parts(transaction, commit)).decode(),
        "files": commit.files,
    }
    transaction.insert(COMMITS, row)
    return True


def _keep_parts(transaction: Transaction, commit: Commit) -> list[str]:
    parts = cut(commit.tables)
    known = _parts(transaction.connection, parts)
    for digest, part in parts.items():
        if digest not in known:
            transaction.insert(TABLE_PARTS, {"digest": digest, "states": part.decode()})
    return list(parts)


def _parts(connection: Connection, digests: Iterable[str]) -> dict[str, str]:
    """Digest -> JSON of the parts that are there."""
    found = dict[str, str]()
    wanted = list(digests)
    if len(wanted) == 1:
        return {row.digest: row.states for row in connection.execute(_PART, {"wanted": wanted[0]})}
    for at in range(0, len(wanted), _PARAMETERS):
        some = TABLE_PARTS.c.digest.in_(wanted[at : at + _PARAMETERS])
        rows = connection.execute(sa.select(TABLE_PARTS).where(some))
        found.update((row.digest, row.states) for row in rows)
    return found


def history(connection: Connection, head: str, limit: int | None) -> list[Commit]:
    """A commit and its ancestors, newest first.

    A chain has one commit a generation, so the newest `limit` lie within `limit` generations of the head.
    """
    oldest = -1
    if limit is not None:
        top = _generation(connection, head)
        oldest = (-1 if top is None else top) - limit
    walk = _walk(head, oldest)
    query = sa.select(COMMITS).where(COMMITS.c.id.in_(sa.select(walk.c.id)))
    rows = connection.execute(query.order_by(COMMITS.c.generation.desc(), COMMITS.c.id).limit(limit))
    return [_commit(connection, row) for row in rows]


def ancestors(connection: Connection, head: str, *, down_to: int = 0) -> dict[str, int]:
    """Id -> generation of a commit and its ancestors, none of a generation less than `down_to`."""
    walk = _walk(head, down_to - 1)
    return {row.id: row.generation for row in connection.execute(sa.select(walk.c.id, walk.c.generation))}


def graph(connection: Connection, head: str) -> dict[str, tuple[str, ...]]:
    """Id -> parents of a commit and all its ancestors, parents before children."""
    walk = _walk(head, -1)
    rows = connection.execute(sa.select(walk).order_by(walk.c.generation, walk.c.id))
    return {row.id: tuple(parent for parent in (row.parent, row.merged) if parent) for row in rows}


def is_ancestor(connection: Connection, old: str, young: str) -> bool:
    """Whether a commit is another or one of its ancestors.

    Cost: the ancestors of `young` that are younger than `old`.
    """
    generation = _generation(connection, old)
    return generation is not None and old in ancestors(connection, young, down_to=generation)


def parting(connection: Connection, ours: str, theirs: str) -> str:
    """The youngest commit both come from; '' when there is none.

    Cost: the ancestors of both that are younger than it, and as many again.
    """
    heads = [generation for one in (ours, theirs) if (generation := _generation(connection, one)) is not None]
    depth = _FIRST_LOOK
    while True:
        down_to = max(min(heads, default=0) - depth, 0)
        mine, their = ancestors(connection, ours, down_to=down_to), ancestors(connection, theirs, down_to=down_to)
        common = sorted(mine.keys() & their.keys(), key=lambda commit_id: (-mine[commit_id], commit_id))
        if common or not down_to:
            return common[0] if common else ""
        depth *= 8


def _generation(connection: Connection, commit_id: str) -> int | None:
    found = connection.execute(_GENERATION, {"wanted": commit_id}).scalar()
    return None if found is None else int(found)


def newest_until(connection: Connection, head: str, instant: datetime) -> Commit | None:
    """The newest of a commit and its ancestors that was made at or before an instant."""
    walk = _walk(head, -1)
    query = sa.select(COMMITS).where(COMMITS.c.id.in_(sa.select(walk.c.id)), COMMITS.c.at <= instant)
    row = connection.execute(query.order_by(COMMITS.c.generation.desc(), COMMITS.c.id).limit(1)).one_or_none()
    return None if row is None else _commit(connection, row)


def _walk(head: str, older_than: int) -> sa.CTE:
    start = sa.select(*ANCESTRY).where(COMMITS.c.id == head, COMMITS.c.generation > older_than)
    walk = start.cte("walk", recursive=True)
    step = sa.select(*ANCESTRY).where(
        sa.or_(COMMITS.c.id == walk.c.parent, COMMITS.c.id == walk.c.merged), COMMITS.c.generation > older_than
    )
    return walk.union(step)


def _commit(connection: Connection, row: Row[Any]) -> Commit:
    return Commit(
        id=row.id,
        parents=tuple(parent for parent in (row.parent, row.merged) if parent),
        at=row.at,
        author=row.author,
        message=row.message,
        tables=_tables(connection, row.tables),
        files=row.files,
    )


def _tables(connection: Connection, kept: str) -> Pointers:
    if kept.startswith("{"):
        return decode(kept, Pointers, what="commit")
    return join(decode(kept, list[str], what="commit"), lambda digests: _parts(connection, digests))


def file_notes(connection: Connection, paths: Iterable[str]) -> Iterator[Row[Any]]:
    """The rows of what is noted of files at these paths, whatever their content."""
    wanted = list(paths)
    for begin in range(0, len(wanted), _PARAMETERS):
        some = wanted[begin : begin + _PARAMETERS]
        yield from connection.execute(sa.select(FILE_NOTES).where(FILE_NOTES.c.path.in_(some)))


def drop_file_notes(connection: Connection, needed: Collection[str], *, before: datetime) -> None:
    """Forget what was noted before an instant of files whose contents are none of these."""
    noted = connection.execute(sa.select(FILE_NOTES.c.digest).where(FILE_NOTES.c.at <= before).distinct()).scalars()
    gone = [{"of_digest": digest, "latest": before} for digest in noted if digest not in needed]
    if gone:
        old = FILE_NOTES.c.at <= sa.bindparam("latest", type_=FILE_NOTES.c.at.type)
        connection.execute(sa.delete(FILE_NOTES).where(FILE_NOTES.c.digest == sa.bindparam("of_digest"), old), gone)


def put_file_notes(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Note something of files, in the place of what was noted of the same path and content."""
    if rows:
        keys = {"of_path": FILE_NOTES.c.path, "of_digest": FILE_NOTES.c.digest}
        gone = sa.delete(FILE_NOTES).where(*(column == sa.bindparam(name) for name, column in keys.items()))
        connection.execute(gone, [{"of_path": row["path"], "of_digest": row["digest"]} for row in rows])
        connection.execute(sa.insert(FILE_NOTES), rows)
