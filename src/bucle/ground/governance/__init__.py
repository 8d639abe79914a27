"""Who may do what, and who said yes; read from the ledger, so it needs no station."""

from bucle.ground.governance.approval import Approval, OwnWork, approvals, approve, read_approvals
from bucle.ground.governance.grant import Action, Denied, Grant, NoSuchGrant, check, grant, grants, may, revoke
from bucle.ground.governance.token import ANONYMOUS, BadToken, make_token, principal_of, revoke_tokens

__all__ = [
    "ANONYMOUS",
    "Action",
    "Approval",
    "BadToken",
    "Denied",
    "Grant",
    "NoSuchGrant",
    "OwnWork",
    "approvals",
    "approve",
    "check",
    "grant",
    "grants",
    "make_token",
    "may",
    "principal_of",
    "read_approvals",
    "revoke",
    "revoke_tokens",
]
