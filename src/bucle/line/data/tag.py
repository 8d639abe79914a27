"""Tag: a name for a commit that stays."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import asdict

from bucle.ground.core import Record, check_name, make_ref, suggest
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.errors import NoSuchTag, TagExists
from bucle.line.data.tables import TAGS

__all__ = ["Tag", "create_tag", "delete_tag", "tags"]


class Tag(Record, frozen=True):
    """A name for a commit that stays.

    Attributes:
        name: what it is called; no branch is called so.
        commit: the commit's id.
        at: when the tag was made.
        actor: who made it.
        message: why.
    """

    name: str
    commit: str
    at: datetime
    actor: str
    message: str


def create_tag(project: Project, name: str, at: str = MAIN, *, message: str = "", key: str | None = None) -> Tag:
    """Name a commit; everything that reads a branch reads a tag too.

    Args:
        name: of the tag.
        at: what it names: a branch, a commit, another tag, `branch@instant`.
        message: why, for people.
        key: an idempotency key.
    Raises:
        BadName: the name cannot be used.
        TagExists: a tag or a branch has this name.
        NoSuchCommit: nothing answers to `at`.
    Cost: one row.
    """
    check_name(name, "tag name")
    made = Tag(name=name, commit=resolve(project, at).id, at=project.clock.now(), actor=project.actor, message=message)
    with project.ledger.transaction(
        "data.tagged",
        subject=make_ref("tag", name),
        actor=project.actor,
        reason=message,
        key=key,
        data={"tag": name, "commit": made.commit},
    ) as transaction:
        if store.the_tag(transaction.connection, name) or store.the_branch(transaction.connection, name):
            raise TagExists(
                f"There is a tag or a branch {name!r} already.",
                why="It would not be clear which is meant.",
                fix=f"Choose another name, or remove it: bucle data tag delete {name}",
                at=name,
            )
        transaction.insert(TAGS, asdict(made))
    return made


def delete_tag(project: Project, name: str, *, key: str | None = None) -> None:
    """Remove a tag; its commit stays.

    Raises:
        NoSuchTag: there is none of that name.
    """
    with project.ledger.transaction(
        "data.tag_deleted", subject=make_ref("tag", name), actor=project.actor, key=key
    ) as transaction:
        gone = store.the_tag(transaction.connection, name)
        if gone is None:
            known = [tag["name"] for tag in store.list_tags(transaction.connection)]
            raise NoSuchTag(
                f"There is no tag {name!r}.",
                why=f"There are: {', '.join(known[:10]) or 'none'}.",
                fix=suggest(name, known) or "See what there is: bucle data tag list",
                at=name,
            )
        transaction.data.update(tag=name, commit=gone["commit"])
        transaction.delete(TAGS, {"name": name})


def tags(project: Project) -> list[Tag]:
    """Every tag by name."""
    with project.database.reading() as connection:
        return [Tag(**row) for row in store.list_tags(connection)]
