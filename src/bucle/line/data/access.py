"""Access: who may do what with a table, as was said of it and of the zone it lies in."""

from __future__ import annotations

from bucle.ground import governance
from bucle.ground.core import make_ref
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.dataset import in_force, zones
from bucle.line.data.errors import BadDataset

__all__ = ["check_access", "is_readable_by_all", "may_access"]


def check_access(project: Project, principal: str, action: governance.Action, table: str, *, at: str = MAIN) -> None:
    """Refuse what a principal may not do with a table.

    Args:
        at: where it is read.
    Raises:
        Denied: it may not.
        BadDataset: where the table lies cannot be known.
    """
    governance.check(project, principal, action, make_ref("table", table), within=_zone(project, table, at))


def may_access(project: Project, principal: str, action: governance.Action, table: str, *, at: str = MAIN) -> bool:
    """Whether a principal may do this with a table; arguments and errors as for `check_access`."""
    return governance.may(project, principal, action, make_ref("table", table), within=_zone(project, table, at))


def is_readable_by_all(project: Project, table: str, *, at: str = MAIN) -> bool:
    """Whether nobody is kept from a table's rows; also not when where it lies cannot be known."""
    try:
        return governance.is_open(project, "read", make_ref("table", table), within=_zone(project, table, at))
    except BadDataset:
        return False


def _zone(project: Project, table: str, at: str) -> str:
    """The ref of the zone a table lies in; '' when it lies in none."""
    zone = in_force(project, table, at=at).zone if zones(project) else ""
    return make_ref("zone", zone) if zone else ""
