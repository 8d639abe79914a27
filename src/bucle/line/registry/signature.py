"""Signature: the columns that go in and come out, with their types."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record

__all__ = ["Field", "FieldType", "Signature"]

FieldType = Literal["string", "float", "int", "bool"]


class Field(Record, frozen=True):
    """One column.

    Attributes:
        name: as the client writes it.
        type: what kind of value it holds.
        nullable: whether a value may be missing (NaN for a float).
        dtype: the exact element type of the tensor as numpy names it (`float32`, `int64`, `str`, `bool`); empty when
            the model never sees the column.
        shape: the shape of one row: `()` for tensors of shape [N], `(1,)` for [N,1], `(12,)` for [N,12]; -1 is any.
    """

    name: str
    type: FieldType
    nullable: bool = False
    dtype: str = ""
    shape: tuple[int, ...] = ()


class Signature(Record, frozen=True):
    """What goes in and what comes out.

    Attributes:
        inputs: in the model's order.
        outputs: in the model's order.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...] = ()

    def input(self, name: str) -> Field | None:
        """The input of this name, or None."""
        return next((field for field in self.inputs if field.name == name), None)

    def output(self, name: str) -> Field | None:
        """The output of this name, or None."""
        return next((field for field in self.outputs if field.name == name), None)
