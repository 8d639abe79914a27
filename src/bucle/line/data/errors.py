"""What can go wrong with data."""

from __future__ import annotations

from bucle.ground.core import NotAllowed, NotFound, Refused, StateError, StoreError, UserError

__all__ = [
    "AmbiguousCommit",
    "BadAlteration",
    "BadBisection",
    "BadCondition",
    "BadDataset",
    "BadDvcProject",
    "BadHook",
    "BadKeys",
    "BadMetadata",
    "BadRemote",
    "BranchBusy",
    "BranchExists",
    "BranchProtected",
    "CommitExpired",
    "Conflict",
    "DvcStageFailed",
    "EmptyCommit",
    "HookCycle",
    "HookRefused",
    "LakeDamaged",
    "LocalChanges",
    "NamespaceExists",
    "NamespaceNotEmpty",
    "NoSuchBranch",
    "NoSuchColumn",
    "NoSuchCommit",
    "NoSuchFile",
    "NoSuchNamespace",
    "NoSuchProtection",
    "NoSuchRemote",
    "NoSuchReview",
    "NoSuchTable",
    "NoSuchTag",
    "NotBuiltOnHead",
    "NothingThere",
    "PurposeRefused",
    "RemoteMoved",
    "RepeatedKey",
    "ReviewBlocked",
    "ReviewClosed",
    "TableEncrypted",
    "TableExists",
    "TableNotOurs",
    "TagExists",
    "TypeMismatch",
    "TypeNotKept",
]


class NoSuchBranch(NotFound):
    """No branch has this name."""

    code = "BU0501"


class NoSuchCommit(NotFound):
    """No branch and no commit answers to this."""

    code = "BU0502"


class NoSuchTable(NotFound):
    """The commit holds no table of this name."""

    code = "BU0503"


class NoSuchColumn(UserError):
    """The table has no such column."""

    code = "BU0504"


class NoSuchFile(NotFound):
    """The commit's file tree has no file of this path."""

    code = "BU0505"


class AmbiguousCommit(UserError):
    """A prefix fits several commits."""

    code = "BU0506"


class BranchExists(StateError):
    """A branch of this name is there already."""

    code = "BU0507"


class BranchProtected(StateError):
    """`main` cannot be removed."""

    code = "BU0508"


class Conflict(StateError):
    """Both branches changed the same table or file since they parted."""

    code = "BU0509"


class TypeNotKept(UserError):
    """A column has a type that an Iceberg table cannot hold without loss."""

    code = "BU0510"


class TypeMismatch(UserError):
    """A column does not fit the type it has in the table."""

    code = "BU0511"


class EmptyCommit(UserError):
    """A commit names neither a table nor a file."""

    code = "BU0512"


class LakeDamaged(StoreError):
    """A file that a commit needs is missing or cannot be read."""

    code = "BU0513"


class NotBuiltOnHead(StateError):
    """Another engine's change to a table was made for a state that the table no longer has."""

    code = "BU0540"


class BadMetadata(UserError):
    """Another engine asks for a change to a table that cannot be made, or names files that are not the table's."""

    code = "BU0541"


class TableExists(StateError):
    """There is a table of this name on the branch."""

    code = "BU0542"


class NoSuchNamespace(NotFound):
    """No table's name begins so, and nobody made a namespace of this name."""

    code = "BU0543"


class NamespaceExists(StateError):
    """There is a namespace of this name on the branch."""

    code = "BU0544"


class NamespaceNotEmpty(StateError):
    """A namespace that holds tables cannot be removed."""

    code = "BU0545"


class TableEncrypted(NotAllowed):
    """Another engine asks for an encrypted table, whose keys it does not have."""

    code = "BU0590"


class NoSuchView(NotFound):
    """The commit has no view of this name."""

    code = "BU0591"


class ViewExists(StateError):
    """There is a view of this name on the branch, and tables and views share their names."""

    code = "BU0592"


class TableNotOurs(StateError):
    """Another engine gave the table a form that only Iceberg clients write, or the project was moved away under it."""

    code = "BU0546"


class LocalChanges(StateError):
    """A checkout would write over something that is kept nowhere."""

    code = "BU0553"


class NoSuchTag(NotFound):
    """No tag has this name."""

    code = "BU0560"


class TagExists(StateError):
    """A tag or a branch has this name already."""

    code = "BU0561"


class NoSuchProtection(NotFound):
    """Nothing of this name is protected."""

    code = "BU0570"


class RepeatedKey(UserError):
    """What should name one row names several."""

    code = "BU0571"


class NoSuchReview(NotFound):
    """No review has this number."""

    code = "BU0562"


class ReviewBlocked(Refused):
    """A review cannot be merged as it stands."""

    code = "BU0563"


class ReviewClosed(StateError):
    """A review was merged or closed before."""

    code = "BU0564"


class HookRefused(Refused):
    """A hook said no; nothing is visible."""

    code = "BU0565"


class BadHook(UserError):
    """A hook is configured in a way that cannot work."""

    code = "BU0566"


class HookCycle(StateError):
    """A hook makes a commit that would call the same hook again."""

    code = "BU0567"


class BranchBusy(StateError):
    """A branch moved each time before a commit could be put on it."""

    code = "BU0568"


class BadBisection(UserError):
    """Between these commits there is nothing to search."""

    code = "BU0569"


class BadCondition(UserError):
    """A condition cannot be read, or names columns the table does not have."""

    code = "BU0580"


class BadKeys(UserError):
    """The rows of an upsert do not say which rows they are to replace: a key is double or null."""

    code = "BU0581"


class BadAlteration(UserError):
    """A table's columns or partitions cannot be changed so: old rows would read as something else, or be lost."""

    code = "BU0582"


class CommitExpired(StateError):
    """The data of this commit was given up; that it was made, by whom and why is still known."""

    code = "BU0583"


class NoSuchRemote(NotFound):
    """No remote has this name."""

    code = "BU0554"


class BadRemote(UserError):
    """The address of a remote cannot be used."""

    code = "BU0555"


class NothingThere(NotFound):
    """A remote does not have this branch."""

    code = "BU0556"


class RemoteMoved(StateError):
    """A branch and its namesake at a remote have gone different ways."""

    code = "BU0557"


class DvcStageFailed(UserError):
    """A command of a DVC project's stage failed when it was run again."""

    code = "BU0520"


class BadDvcProject(UserError):
    """A folder is no DVC project, cannot be understood as one, or lacks contents it names."""

    code = "BU0558"


class BadDataset(UserError):
    """The record of a table cannot be used."""

    code = "BU0547"


class PurposeRefused(Refused):
    """A table may not be used for this."""

    code = "BU0548"
