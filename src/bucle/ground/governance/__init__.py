"""Who may do what, and who said yes; read from the ledger, so it needs no station."""

from bucle.ground.governance.approval import Approval, OwnWork, approvals, approve, read_approvals

__all__ = ["Approval", "OwnWork", "approvals", "approve", "read_approvals"]
