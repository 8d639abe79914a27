"""Bucle: one assembly line that takes a model from raw data to production and keeps it true there."""

from bucle.version import __version__

__all__ = ["__version__"]
