"""What can go wrong while watching."""

from bucle.ground.core import StateError, UserError

__all__ = ["BadFrame", "BadHistogram", "FeatureMissing", "ProfileMismatch"]


class ProfileMismatch(StateError):
    """Two windows, or a window and a profile, were counted over other bins."""

    code = "BU1301"


class FeatureMissing(UserError):
    """The frame lacks a feature that the profile has."""

    code = "BU1302"


class BadFrame(UserError):
    """A frame lacks a column, or a column holds what it should not."""

    code = "BU1303"


class BadHistogram(UserError):
    """Two histograms cannot be compared: other bins, or nothing in one of them."""

    code = "BU1304"
