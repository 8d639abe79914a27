"""What can go wrong with data."""

from __future__ import annotations

from typing import Any

from bucle.ground.core import NotFound, Refused, StateError, StoreError, UserError
from bucle.line.data.report import ContractReport

__all__ = [
    "AmbiguousCommit",
    "BadDvcProject",
    "BadMetadata",
    "BadRemote",
    "BranchExists",
    "BranchProtected",
    "Conflict",
    "ContractInvalid",
    "ContractViolated",
    "EmptyCommit",
    "LakeDamaged",
    "LocalChanges",
    "NamespaceExists",
    "NamespaceNotEmpty",
    "NoSuchBranch",
    "NoSuchColumn",
    "NoSuchCommit",
    "NoSuchFile",
    "NoSuchNamespace",
    "NoSuchRemote",
    "NoSuchTable",
    "NotBuiltOnHead",
    "NothingThere",
    "RemoteMoved",
    "TableExists",
    "TableNotOurs",
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


class ContractInvalid(UserError):
    """A contract's file cannot be understood."""

    code = "BU0514"


class ContractViolated(Refused):
    """A batch breaks its contract; nothing of it is visible.

    Attributes:
        report: which rule of which column broke, how often, and the first rows that broke it.
    """

    code = "BU0515"

    def __init__(self, what: str, *, report: ContractReport, why: str = "", fix: str = "", at: str = "") -> None:
        super().__init__(what, why=why, fix=fix, at=at)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        """It crosses a process border with its report."""
        return _rebuild_violation, (self.what, self.report, self.why, self.fix, self.at)


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


class TableNotOurs(StateError):
    """Another engine gave the table a form that only Iceberg clients write, or the project was moved away under it."""

    code = "BU0546"


class LocalChanges(StateError):
    """A checkout would write over something that is kept nowhere."""

    code = "BU0553"


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


class BadDvcProject(UserError):
    """A folder is no DVC project, cannot be understood as one, or lacks contents it names."""

    code = "BU0558"


def _rebuild_violation(what: str, report: ContractReport, why: str, fix: str, at: str) -> ContractViolated:
    return ContractViolated(what, report=report, why=why, fix=fix, at=at)
