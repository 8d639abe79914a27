"""Everything that can go wrong, as one tree.

    BucleError
    ├── UserError     the call is wrong: fix the call                 exit 2, HTTP 422
    ├── NotFound      the thing named does not exist                  exit 3, HTTP 404
    ├── NotAllowed    the caller may not do this                      exit 4, HTTP 403
    ├── Refused       a gate, a contract or a policy said no          exit 5, HTTP 422
    ├── StateError    not now: the state does not allow it            exit 6, HTTP 409
    └── StoreError    the ground failed: disk, database, network      exit 1, HTTP 503

A room derives its own errors from these branches and gives each a code `BUrrnn` (`rr` the room, `nn` the error). The
command line, the API and the pages show the same three sentences: what happened, why it matters, the fix.

Rooms: 01 core, 02 store, 03 ledger, 04 governance, 05 data, 06 features, 07 pipelines, 08 tracking, 09 registry,
10 gates, 11 serving, 12 deploy, 13 monitoring, 14 llm, 15 loop, 16 doors, 17 query, 18 sources.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "BucleError",
    "ConfigError",
    "NotAllowed",
    "NotFound",
    "Refused",
    "StateError",
    "StoreError",
    "UserError",
    "catalogue",
    "suggest",
]


class BucleError(Exception):
    """The root of all errors Bucle raises on purpose.

    Args:
        what: what happened, with the value that caused it; one sentence.
        why: why it matters, or what was expected instead.
        fix: a command or a line of code that mends it.
        at: where it happened: a field, a file, a row.
    """

    code: ClassVar[str] = "BU0100"
    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, what: str, *, why: str = "", fix: str = "", at: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.at = at

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            other = _CATALOGUE.setdefault(cls.code, cls)
            if other.__qualname__ != cls.__qualname__:
                raise TypeError(
                    f"error code {cls.code} belongs to {other.__qualname__}, {cls.__qualname__} needs its own"
                )

    def __str__(self) -> str:
        """The three sentences on one line, as a log shows them."""
        parts = [f"[{self.code}] {self.what}", self.why, f"Fix: {self.fix}" if self.fix else ""]
        return " ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        """An error crosses a process border whole."""
        return _rebuild, (type(self), self.what, self.why, self.fix, self.at)

    def as_dict(self) -> dict[str, str]:
        """The error as the API and `--json` print it."""
        return {"code": self.code, "what": self.what, "why": self.why, "fix": self.fix, "at": self.at}


_CATALOGUE: dict[str, type[BucleError]] = {BucleError.code: BucleError}


class UserError(BucleError):
    """The call, the file or the value given is wrong; nothing was changed."""

    code = "BU0101"
    exit_status = 2
    http_status = 422


class NotFound(BucleError):
    """What was named does not exist."""

    code = "BU0102"
    exit_status = 3
    http_status = 404


class NotAllowed(BucleError):
    """The caller may not do this."""

    code = "BU0103"
    exit_status = 4
    http_status = 403


class Refused(BucleError):
    """A gate, a contract or a policy said no."""

    code = "BU0104"
    exit_status = 5
    http_status = 422


class StateError(BucleError):
    """The state does not allow this now."""

    code = "BU0105"
    exit_status = 6
    http_status = 409


class StoreError(BucleError):
    """The ground failed: a disk, a database, a bucket or the network."""

    code = "BU0106"
    exit_status = 1
    http_status = 503


class ConfigError(UserError):
    """`bucle.toml` holds a key or a value that Bucle does not understand."""

    code = "BU0107"


def catalogue() -> dict[str, type[BucleError]]:
    """Every error code known so far with its class, sorted by code."""
    return dict(sorted(_CATALOGUE.items()))


def suggest(given: str, known: Iterable[str]) -> str:
    """A near miss as a sentence, or nothing.

    Args:
        given: what the user wrote.
        known: the names that exist.
    Returns:
        `Did you mean 'fraude'?`, or an empty string when nothing is near.
    Example:
        >>> suggest("fruade", ["fraude", "churn"])
        "Did you mean 'fraude'?"
    """
    near = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""


def _rebuild(kind: type[BucleError], what: str, why: str, fix: str, at: str) -> BucleError:
    return kind(what, why=why, fix=fix, at=at)
