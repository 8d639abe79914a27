"""Code: the source a function's result depends on, read from disk and given a digest."""

from bucle.ground.code.code import Code, CodeReader
from bucle.ground.code.errors import CodeChanged

__all__ = ["Code", "CodeChanged", "CodeReader"]
