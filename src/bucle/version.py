"""The version of Bucle, read by the build and by `bucle --version`."""

__version__ = "0.1.0"
