"""Who may do what, and who said yes; read from the ledger, so it needs no station."""

from bucle.ground.governance.access_key import (
    AccessKey,
    NoSuchAccessKey,
    access_key,
    access_keys,
    make_access_key,
    revoke_access_keys,
)
from bucle.ground.governance.approval import Approval, OwnWork, approvals, approve, read_approvals
from bucle.ground.governance.grant import (
    Action,
    Denied,
    Grant,
    NoSuchGrant,
    check,
    grant,
    grants,
    is_allowed,
    may,
    revoke,
)
from bucle.ground.governance.token import ANONYMOUS, BadToken, make_token, principal_of, revoke_tokens

__all__ = [
    "ANONYMOUS",
    "AccessKey",
    "Action",
    "Approval",
    "BadToken",
    "Denied",
    "Grant",
    "NoSuchAccessKey",
    "NoSuchGrant",
    "OwnWork",
    "access_key",
    "access_keys",
    "approvals",
    "approve",
    "check",
    "grant",
    "grants",
    "is_allowed",
    "make_access_key",
    "make_token",
    "may",
    "principal_of",
    "read_approvals",
    "revoke",
    "revoke_access_keys",
    "revoke_tokens",
]
