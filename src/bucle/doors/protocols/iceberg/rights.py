"""Rights: what a client may read and change, as `bucle access` says; asked here, since files are open at home."""

from __future__ import annotations

from bucle.doors.protocols.iceberg.errors import bad_request
from bucle.doors.protocols.iceberg.wire import Call, namespace_of
from bucle.ground.core import make_ref
from bucle.ground.governance import check, principal_of
from bucle.ground.project import Project
from bucle.line import data

__all__ = ["check_namespace", "check_reader", "check_writer", "new_name", "who"]

_NO_TOKEN = "Bearer None"  # noqa: S105  no secret: the lack of one
"""What pyiceberg sends when it was given no token."""


def who(authorization: str, project: Project) -> str:
    """The principal of a header `Authorization`.

    Raises:
        BadToken: nobody has the token.
    """
    return principal_of(project, "" if authorization == _NO_TOKEN else authorization)


def check_reader(call: Call, project: Project, table: str) -> None:
    """Refuse who may not read a table; or who may not see what is personal in it, since files cannot be masked.

    Raises:
        Denied: the principal may not.
    """
    data.check_access(project, call.principal, "read", table, at=call.ref)
    if data.pii_tags(project, table, at=call.ref):
        data.check_access(project, call.principal, "unmask", table, at=call.ref)


def check_writer(call: Call, project: Project, *tables: str) -> None:
    """Refuse who may not change these tables or views.

    Raises:
        Denied: the principal may not.
    """
    for table in tables:
        data.check_access(project, call.principal, "write", table, at=call.ref)


def check_namespace(call: Call, project: Project, namespace: str) -> None:
    """Refuse who may not change a namespace: who may not write to every table in it.

    Raises:
        Denied: the principal may not.
    """
    check(project, call.principal, "write", make_ref("table", "*" if namespace == data.DEFAULT else f"{namespace}.*"))


def new_name(call: Call, project: Project, levels: tuple[str, ...], name: str) -> str:
    """Our name for a table or view to be made, by who may, in a namespace that is there.

    Raises:
        NoSuchNamespace: it is not.
        CatalogError: the name has a dot.
        Denied: the principal may not.
    """
    if call.done is None:
        data.namespace_properties(project, namespace_of(levels), at=call.ref)
    joined = data.join_name(levels, name)
    if joined is None:
        raise bad_request(f"A name has no dot here, since a dot parts namespaces: {name[:200]!r}.")
    check_writer(call, project, joined)
    return joined
