"""What can go wrong with keys."""

from __future__ import annotations

from bucle.ground.core import NotAllowed, NotFound, StateError, StoreError, UserError

__all__ = ["BadKeyring", "KeyDestroyed", "KeyMissing", "KeysOff", "KeysUnreachable", "NoSuchKey", "SealBroken"]


class KeyMissing(NotAllowed):
    """The key that opens this is not among those of the keyring, or there is no keyring."""

    code = "BU1901"


class KeyDestroyed(StateError):
    """The key was destroyed, and what it kept is erased with it."""

    code = "BU1902"


class SealBroken(StoreError):
    """Encrypted bytes were changed, cut short, or lie where they were not written."""

    code = "BU1903"


class NoSuchKey(NotFound):
    """No table has a key of this name."""

    code = "BU1904"


class BadKeyring(UserError):
    """The keyring cannot be used: others may read it, it lies in the project, or a key has not 256 bits."""

    code = "BU1905"


class KeysOff(StateError):
    """This needs `[data.encryption]`, or would leave a part of a table unencrypted."""

    code = "BU1906"


class KeysUnreachable(StoreError):
    """Who holds the keys does not answer."""

    code = "BU1907"
