"""Push and pull: the files of a branch sent to a remote, and fetched from it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from bucle.ground.core import Record, decode, encode, short
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import branches, create_branch, head_of, log, resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import NothingThere, RemoteMoved
from bucle.line.data.publish import Change, Move, build, publish
from bucle.line.data.remotes import open_remote
from bucle.line.files import (
    FarPacks,
    FileEntry,
    Tell,
    Tree,
    check_tree,
    fetch_contents,
    fetch_trees,
    load_tree,
    packs_of,
    send_contents,
    send_trees,
)

__all__ = ["Pulled", "Pushed", "RemoteHead", "pull", "push", "remote_heads"]

_HEADS = "heads/"
_HISTORY = 1000
"""So many file trees of a branch's past are told, by which the other side knows that it is only behind."""


class RemoteHead(Record, frozen=True):
    """Where a branch stood when it was pushed.

    Attributes:
        branch: the branch.
        commit: the commit, as the project that pushed calls it.
        files: the digest of its file tree.
        at: when it was made.
        author: who made it.
        message: why.
        history: the file trees the branch had, this one first.
    """

    branch: str
    commit: str
    files: str
    at: datetime
    author: str
    message: str
    history: tuple[str, ...]


class Pushed(Record, frozen=True):
    """What a push did.

    Attributes:
        remote: where to.
        branch: which branch.
        commit: the commit that stands there now.
        files: how many files it has.
        size_bytes: how long they are together.
        sent_bytes: how much of that was sent.
    """

    remote: str
    branch: str
    commit: str
    files: int
    size_bytes: int
    sent_bytes: int


class Pulled(Record, frozen=True):
    """What a pull did.

    Attributes:
        remote: where from.
        branch: the branch that has the files now.
        commit: its head.
        files: how many files it has.
        fetched_bytes: how much came over the line.
    """

    remote: str
    branch: str
    commit: str
    files: int
    fetched_bytes: int


def push(
    project: Project, remote: str = "origin", branch: str = MAIN, *, force: bool = False, tell: Tell | None = None
) -> Pushed:
    """Send the files of a branch's head to a remote: what it lacks, and then where the branch stands.

    Tables are not sent. A push that was cut short leaves nothing visible, and the next one sends only the rest.

    Args:
        remote: its name, or its address.
        branch: whose files.
        force: move the branch there although it stands where this one never was.
        tell: told how far it is.
    Raises:
        NoSuchRemote, NoSuchBranch, NoSuchCommit: one of them is not there.
        RemoteMoved: somebody pushed what this branch does not have; nothing there was changed but contents added.
        BlobMissing, PackDamaged: a content is damaged here.
        BucketFailed, DiskFull: it could not be sent.
    Cost: a list of names there, and what is lacking, eight at once.
    """
    far, head = open_remote(project, remote), resolve(project, branch)
    tree = load_tree(project, head.files)
    history = tuple(dict.fromkeys(commit.files for commit in log(project, branch, limit=_HISTORY)))
    _look(far, branch, history, force=force)
    sent = send_contents(project, far, [entry.digest for entry in tree.values()], tell or _silent)
    sent += send_trees(project, far, head.files)
    made = RemoteHead(
        branch=branch,
        commit=head.id,
        files=head.files,
        at=head.at,
        author=head.author,
        message=head.message,
        history=history,
    )
    while not far.objects.swap(_name(branch), encode(made), _look(far, branch, history, force=force)):
        pass
    return Pushed(
        remote=far.objects.url,
        branch=branch,
        commit=head.id,
        files=len(tree),
        size_bytes=sum(entry.size_bytes for entry in tree.values()),
        sent_bytes=sent,
    )


def pull(
    project: Project, remote: str = "origin", branch: str = MAIN, *, into: str = "", tell: Tell | None = None
) -> Pulled:
    """Fetch the files of a branch from a remote, and make them those of a branch here.

    A branch that has had no other files than the remote's takes them over. One that has its own stays as it is: pull
    into another branch and merge. In a project that shares its database with the one that pushed, only contents come.

    Args:
        remote: its name, or its address.
        branch: which branch there.
        into: the branch here; of the same name unless given. It is made when it is not there.
        tell: told how far it is.
    Raises:
        NoSuchRemote: there is no such remote.
        NothingThere: the branch was never pushed there.
        RemoteMoved: the branch here has files of its own.
        PackDamaged: a content has other bytes there than it had; no commit is made.
        BadPath, CorruptRecord: the tree there could not have been made here.
        BucketFailed, DiskFull: it could not be fetched.
    Cost: what is lacking, eight at once; every byte that came is compared with its digest.
    """
    far, target = open_remote(project, remote), into or branch
    found, version = far.objects.look(_name(branch))
    if not version:
        raise NothingThere(
            f"{far.objects.url} has no branch {branch!r}.",
            why="It was never pushed there, or it is another place.",
            fix="See what there is: bucle data remote show",
            at=far.objects.url,
        )
    theirs = decode(found, RemoteHead, what="head of a remote branch")
    is_new = target not in {one.name for one in branches(project)}
    ours = None if is_new else head_of(project, target)
    if ours is not None and ours.files and ours.files not in theirs.history:
        raise _apart(far, target)
    with packs_of(project).held():
        came = fetch_trees(project, far, theirs.files)
        tree = load_tree(project, theirs.files)
        check_tree(tree)
        came += fetch_contents(project, far, [entry.digest for entry in tree.values()], tell or _silent)
        base = _parting(project, theirs) if is_new else ours
        if is_new:
            create_branch(project, target, base.id if base else MAIN)
        # Where the two never had the same files, none of ours are taken for removed.
        gone = load_tree(project, base.files) if base else Tree()
        made = _take_over(project, theirs, {**dict.fromkeys(gone), **tree}, target, remote)
    return Pulled(
        remote=far.objects.url, branch=target, commit=made.id if made else "", files=len(tree), fetched_bytes=came
    )


def remote_heads(project: Project, remote: str = "origin") -> list[RemoteHead]:
    """Where the branches of a remote stand, by name.

    Raises:
        NoSuchRemote: there is no such remote.
        BucketFailed: it does not answer.
    """
    far = open_remote(project, remote)
    names = sorted(name for name in far.objects.sizes(_HEADS) if name.endswith(".json"))
    return [decode(far.objects.get(name), RemoteHead, what="head of a remote branch") for name in names]


def _parting(project: Project, theirs: RemoteHead) -> Commit | None:
    """The newest commit of `main` whose files the remote branch once had: from there on both went their own way."""
    return next((one for one in log(project, MAIN) if one.files and one.files in theirs.history), None)


def _take_over(
    project: Project, theirs: RemoteHead, changes: dict[str, FileEntry | None], branch: str, remote: str
) -> Commit | None:
    """The branch with these files; tables and history stay as they are."""
    head = head_of(project, branch)
    if (head.files if head else "") == theirs.files:
        return head
    message = f"pull {theirs.branch} from {remote}: {theirs.message}"
    change = Change(tables={}, mode="append", files=changes, message=message)

    def made(present: Commit | None) -> Commit:
        if (present.files if present else "") != (head.files if head else ""):
            raise RemoteMoved(
                f"The branch {branch!r} got other files meanwhile.",
                why="They would be taken for gone.",
                fix="Pull again, or into another branch: bucle data pull --into NAME",
                at=branch,
            )
        return build(project, change, present)

    told = {"commit": theirs.commit, "branch": theirs.branch}
    move = Move(
        branch=branch,
        build=made,
        describe=lambda _: {"tables": {}, "pulled": told},
        kind="data.committed",
        message=message,
        key=None,
    )
    return publish(project, move)


def _look(far: FarPacks, branch: str, history: tuple[str, ...], *, force: bool) -> str:
    """The version of a branch's head there, which this branch must have been at."""
    found, version = far.objects.look(_name(branch))
    if version and not force:
        theirs = decode(found, RemoteHead, what="head of a remote branch")
        if theirs.files and theirs.files not in history:
            raise RemoteMoved(
                f"{branch!r} at {far.objects.url} stands at {short(theirs.commit)} of {theirs.author}, which is not in "
                "the history of the branch here.",
                why="A push would take its files out of sight.",
                fix="Pull it into another branch and merge that: bucle data pull --into theirs; or push with --force.",
                at=branch,
            )
    return version


def _apart(far: FarPacks, branch: str) -> RemoteMoved:
    return RemoteMoved(
        f"The branch {branch!r} here has files that it never had at {far.objects.url}.",
        why="A pull would put others in their place.",
        fix="Pull into another branch, then merge it: bucle data pull --into theirs && bucle data merge theirs",
        at=branch,
    )


def _name(branch: str) -> str:
    return f"{_HEADS}{quote(branch, safe='')}.json"


def _silent(_done: int, _total: int) -> None:
    """For those who do not ask."""
