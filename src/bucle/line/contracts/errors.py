"""What can go wrong with contracts."""

from __future__ import annotations

from typing import Any

from bucle.ground.core import Refused, UserError
from bucle.line.contracts.report import ContractReport

__all__ = ["BadExpression", "ContractInvalid", "ContractViolated"]


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


class BadExpression(UserError):
    """A condition or a measure written as SQL is not understood."""

    code = "BU0517"


def _rebuild_violation(what: str, report: ContractReport, why: str, fix: str, at: str) -> ContractViolated:
    return ContractViolated(what, report=report, why=why, fix=fix, at=at)
