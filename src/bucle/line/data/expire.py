"""Expire: give up the data of commits that nothing holds; that they were made stays known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from bucle.ground.core import Record, instant_before, make_ref
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit

__all__ = ["Expiry", "expire", "give_up", "holders"]

_PASSING = ("table/", "commit/", "step/", "execution/")
"""What comes of a commit and does not hold its data: a run or a model made of a step does."""

_ASKED = 250
"""Of so many commits the ledger is asked at once."""


class Expiry(Record, frozen=True):
    """What an expiry did.

    Attributes:
        commits: the commits whose data was given up, oldest first.
        used: commits that stay since a run, a model or a prediction was made from them.
    """

    commits: tuple[str, ...]
    used: tuple[str, ...]


def expire(
    project: Project, *, older_than: timedelta, keep: int = 10, also_used: bool = False, dry_run: bool = False
) -> Expiry:
    """Give up the data of old commits. `sweep` then removes the files that only they needed.

    A commit stays when a branch or a tag stands at it, when it is among the newest of a branch, when it is young, and
    when something but data was made from it. Its row, its place in the history and the audit log stay in any case.

    Args:
        older_than: what is younger stays.
        keep: so many commits of each branch stay, however old.
        also_used: commits from which runs, models or predictions were made are given up as well.
        dry_run: only tell what would be given up.
    Cost: one look at every commit; of each that would go, what was made from it.
    """
    found = _found(project, older_than, keep)
    used = {} if also_used else _used(project, found)
    gone = [commit for commit in found if commit.id not in used]
    if not dry_run:
        gone = give_up(project, gone, keep=keep)
    return Expiry(commits=tuple(one.id for one in gone), used=tuple(one.id for one in found if one.id in used))


def give_up(project: Project, commits: list[Commit], *, keep: int) -> list[Commit]:
    """Give up the data of commits, but for those at which a branch or tag stands and the newest of each branch."""
    if not commits:
        return []
    with project.ledger.transaction("data.expired", subject="lake/commits", actor=project.actor) as transaction:
        # A branch or tag may have come to stand at one of them since.
        now = _held(project, keep)
        gone = [commit for commit in commits if commit.id not in now]
        at = project.clock.now()
        store.expire_commits(transaction, (commit.id for commit in gone), at=at, actor=project.actor)
        transaction.data.update(commits=len(gone))
    return gone


def holders(project: Project, commits: Iterable[Commit]) -> dict[str, tuple[str, ...]]:
    """Commit -> the refs of what holds its data: branches and tags that stand at it, what was made from it."""
    listed = list(commits)
    found = defaultdict[str, list[str]](list)
    with project.database.reading() as connection:
        for branch in store.list_branches(connection):
            found[branch.head].append(make_ref("branch", branch.name))
        for tag in store.list_tags(connection):
            found[tag["commit"]].append(make_ref("tag", tag["name"]))
    for commit, refs in _used(project, listed).items():
        found[commit].extend(refs)
    return {commit.id: tuple(found[commit.id]) for commit in listed if commit.id in found}


def _found(project: Project, older_than: timedelta, keep: int) -> list[Commit]:
    latest, held = instant_before(project.clock.now(), older_than), _held(project, keep)
    with project.database.reading() as connection:
        kept = store.kept_commits(connection)
    return [commit for commit in kept if commit.at <= latest and commit.id not in held]


def _held(project: Project, keep: int) -> set[str]:
    """The commits at which branches and tags stand, and the newest of each branch."""
    with project.database.reading() as connection:
        heads = [branch.head for branch in store.list_branches(connection) if branch.head]
        tagged = {tag["commit"] for tag in store.list_tags(connection)}
        newest = {one.id for head in heads for one in store.history(connection, head, max(keep, 1))}
    return {*heads, *tagged, *newest}


def _used(project: Project, commits: Iterable[Commit]) -> dict[str, tuple[str, ...]]:
    """Commit -> what was made from it that is to be explained for ever."""
    owners = dict[str, str]()
    for commit in commits:
        owners[make_ref("commit", commit.id)] = commit.id
        owners |= {make_ref("table", name, commit.id): commit.id for name in commit.tables}
    used, refs = defaultdict[str, set[str]](set), list(owners)
    for at in range(0, len(refs), _ASKED):
        for edge in project.ledger.edges_of(refs[at : at + _ASKED], upstream=False):
            if not edge.target.startswith(_PASSING):
                used[owners[edge.source]].add(edge.target)
    return {commit: tuple(sorted(refs)) for commit, refs in used.items()}
