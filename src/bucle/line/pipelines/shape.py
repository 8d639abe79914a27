"""Shape: what an annotation says of a value that travels between steps, and how it comes apart into leaves.

A leaf is kept as one blob. Frames, arrays, bytes and files are leaves; whatever JSON can say exactly is one leaf. A
value may be one leaf, or one level of leaves: a NamedTuple, `dict[str, leaf]`, `list[leaf]`, `tuple[leaf, …]`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from bucle.line.pipelines.errors import NotTyped, ValueNotKept

__all__ = ["Kind", "Leaf", "Shape", "assemble", "disassemble", "is_bulk", "shape_of"]

Kind = Literal["json", "frame", "array", "bytes", "file"]

_BULK: dict[type, Kind] = {pl.DataFrame: "frame", np.ndarray: "array", bytes: "bytes", Path: "file"}

_ALLOWED = (
    "pl.DataFrame, np.ndarray, bytes, Path, plain values, Records, and NamedTuples, dicts, lists or tuples of them"
)


class Leaf(NamedTuple):
    """A part of a value that is kept as one blob.

    Attributes:
        kind: how it is written down.
        type: the annotation, for decoding JSON.
        optional: whether None may stand for it.
    """

    kind: Kind
    type: Any
    optional: bool = False


class Shape(NamedTuple):
    """How a value comes apart.

    Attributes:
        container: `one` leaf; `fields` of a NamedTuple; a `map`, `list` or `tuple`.
        leaves: name -> leaf where they are known beforehand; the leaf of all parts stands under "" otherwise.
        type: what to build from the parts: the NamedTuple's class.
    """

    container: Literal["one", "fields", "map", "list", "tuple"]
    leaves: dict[str, Leaf]
    type: Any = None

    @property
    def is_json(self) -> bool:
        """Whether it is one plain value."""
        return self.container == "one" and self.leaves[""].kind == "json"

    def leaf(self, name: str) -> Leaf:
        """The leaf of one part."""
        return self.leaves[name] if name in self.leaves else self.leaves[""]


def is_bulk(value: object) -> Kind | None:
    """How a value is kept when it is a frame, an array, bytes or a file; None for any other."""
    return next((kind for type_, kind in _BULK.items() if isinstance(value, type_)), None)


def shape_of(annotation: Any, where: str) -> Shape:
    """The shape an annotation describes.

    Args:
        where: what is annotated, for the message.
    Raises:
        NotTyped: frames, arrays, bytes or files lie deeper than one level, where no name could be given to them.
    """
    if _is_named_tuple(annotation):
        hints = typing.get_type_hints(annotation)
        return Shape("fields", {name: _leaf(hints[name], where) for name in annotation._fields}, annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (dict, Mapping) and len(args) == 2 and args[0] is str and _bulk_leaf(args[1]):
        return Shape("map", {"": _leaf(args[1], where)})
    if origin in (list, Sequence) and args and _bulk_leaf(args[0]):
        return Shape("list", {"": _leaf(args[0], where)})
    if origin is tuple and any(_bulk_leaf(arg) for arg in args):
        if args[-1] is Ellipsis:
            return Shape("tuple", {"": _leaf(args[0], where)})
        return Shape("tuple", {str(at): _leaf(arg, where) for at, arg in enumerate(args)})
    return Shape("one", {"": _leaf(annotation, where)})


def disassemble(shape: Shape, value: Any) -> dict[str, Any]:
    """A value's parts by name; one leaf is called "". Optional parts that are None are left out.

    Raises:
        ValueNotKept: the value is not of this shape, or a part of a dict has no name.
    """
    parts: dict[str, Any]
    if shape.container == "one":
        parts = {"": value}
    elif shape.container == "map" and isinstance(value, Mapping):
        parts = {_named(name): part for name, part in value.items()}
    elif shape.container == "fields" and isinstance(value, tuple) and len(value) == len(shape.leaves):
        parts = dict(zip(shape.leaves, value, strict=True))
    elif shape.container in ("list", "tuple") and isinstance(value, list | tuple):
        parts = {str(at): part for at, part in enumerate(value)}
    else:
        raise _wrong(shape.container, value)
    if shape.container == "tuple" and "" not in shape.leaves and len(parts) != len(shape.leaves):
        raise _wrong(f"tuple of {len(shape.leaves)}", value)
    return {name: part for name, part in parts.items() if not (part is None and shape.leaf(name).optional)}


def assemble(shape: Shape, parts: Mapping[str, Any]) -> Any:
    """The value whose parts `disassemble` gave; parts that are missing become None."""
    if shape.container == "one":
        return parts.get("")
    if shape.container == "map":
        return dict(parts)
    if shape.container == "fields":
        return shape.type(**{name: parts.get(name) for name in shape.leaves})
    if "" in shape.leaves:
        ordered = [parts[name] for name in sorted(parts, key=int)]
    else:
        ordered = [parts.get(name) for name in shape.leaves]
    return ordered if shape.container == "list" else tuple(ordered)


def _leaf(annotation: Any, where: str) -> Leaf:
    bulk = _bulk_leaf(annotation)
    if bulk is not None:
        return bulk
    if _holds_bulk(annotation):
        raise NotTyped(
            f"{where} is annotated {annotation!r}, which cannot be kept.",
            why="Every frame, array, file or bytes needs a name of its own, and a step has one level of names.",
            fix=f"Use {_ALLOWED}.",
            at=where,
        )
    return Leaf("json", annotation)


def _bulk_leaf(annotation: Any) -> Leaf | None:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        others = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        bulk = _bulk_leaf(others[0]) if len(others) == 1 else None
        return None if bulk is None else bulk._replace(optional=True)
    kind = _BULK.get(origin if isinstance(origin, type) else annotation) if _hashable(annotation) else None
    return None if kind is None else Leaf(kind, annotation)


def _holds_bulk(annotation: Any) -> bool:
    return _bulk_leaf(annotation) is not None or any(_holds_bulk(arg) for arg in typing.get_args(annotation))


def _hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _is_named_tuple(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def _named(name: object) -> str:
    """The name of a part of a dict; "" would be that of a value that is one leaf."""
    if not str(name):
        raise ValueNotKept(
            "A part of what was returned is called ''.",
            why="Every part is kept under its name, and this is none.",
            fix="Give it a name: {'a.png': …}.",
        )
    return str(name)


def _wrong(wanted: str, value: object) -> ValueNotKept:
    return ValueNotKept(
        f"A {type(value).__name__} stands where the annotation says {wanted}.",
        why="What goes between steps is kept by its annotation.",
        fix="Return what the annotation says, or change the annotation.",
    )
