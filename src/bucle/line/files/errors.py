"""What can go wrong with files."""

from __future__ import annotations

from bucle.ground.core import NotFound, StateError, StoreError, UserError

__all__ = ["BadFile", "BadPath", "BadUrl", "NoSuchFolder", "PackDamaged", "PinMoved"]


class BadPath(UserError):
    """A path in the file tree is absolute, climbs out, or has empty parts."""

    code = "BU0516"


class PackDamaged(StoreError):
    """The content of a file in the tree is missing or has other bytes than it had."""

    code = "BU0550"


class NoSuchFolder(NotFound):
    """The local folder is not there."""

    code = "BU0551"


class BadFile(UserError):
    """A folder holds what cannot be kept: a symbolic link, a device, a file that may not be read."""

    code = "BU0552"


class PinMoved(StateError):
    """What a URL names is not what it was when a file of the tree was pinned to it."""

    code = "BU0559"


class BadUrl(UserError):
    """A URL names nothing that could be pinned."""

    code = "BU0529"
