"""Access: who may do what with a table, as was said of it and of the zone it lies in.

Rows that were set aside of a table are held to what was said of it, and to what was said of the quarantine besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bucle.ground import governance
from bucle.ground.core import make_ref
from bucle.ground.project import Project
from bucle.line.contracts import QUARANTINE
from bucle.line.data.branch import MAIN
from bucle.line.data.dataset import in_force, zones
from bucle.line.data.errors import BadDataset

__all__ = ["check_access", "kept_from_some", "may_access"]


def check_access(project: Project, principal: str, action: governance.Action, table: str, *, at: str = MAIN) -> None:
    """Refuse what a principal may not do with a table.

    Args:
        at: where it is read.
    Raises:
        Denied: it may not.
        BadDataset: where the table lies cannot be known.
    """
    zone, whole = _zone(project, table, at), table.removesuffix(QUARANTINE)
    governance.check(project, principal, action, make_ref("table", whole), within=zone)
    if not _is_let(governance.grants(project), principal, action, table, zone):
        governance.check(project, principal, action, make_ref("table", table), within=zone)


def may_access(project: Project, principal: str, action: governance.Action, table: str, *, at: str = MAIN) -> bool:
    """Whether a principal may do this with a table; arguments and errors as for `check_access`."""
    return _is_let(governance.grants(project), principal, action, table, _zone(project, table, at))


def kept_from_some(project: Project, tables: Iterable[str], *, at: str = MAIN) -> set[str]:
    """Those tables whose rows somebody may not read, or of which nobody can know where they lie.

    Cost: nothing more, where nothing was said of reading; else a look at the record of each table.
    """
    known = [one for one in governance.grants(project) if one.action == "read"]
    principals = {"*", *(one.principal for one in known)}
    return {table for table in tables if known and not _is_for_all(project, known, principals, table, at)}


def _is_for_all(
    project: Project, known: Sequence[governance.Grant], principals: Iterable[str], table: str, at: str
) -> bool:
    try:
        zone = _zone(project, table, at)
    except BadDataset:
        return False
    return all(_is_let(known, principal, "read", table, zone) for principal in principals)


def _is_let(
    known: Sequence[governance.Grant], principal: str, action: governance.Action, table: str, zone: str
) -> bool:
    whole = table.removesuffix(QUARANTINE)
    return governance.is_allowed(known, principal, action, make_ref("table", whole), within=zone) and (
        table == whole
        or governance.is_allowed(known, principal, action, make_ref("table", table), within=zone, default=True)
    )


def _zone(project: Project, table: str, at: str) -> str:
    """The ref of the zone a table lies in; '' when it lies in none."""
    zone = in_force(project, table, at=at).zone if zones(project) else ""
    return make_ref("zone", zone) if zone else ""
