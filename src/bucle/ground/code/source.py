"""Source: one Python file, cut into its top-level names and what each of them mentions."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bucle.ground.code.errors import CodeChanged
from bucle.ground.core import digest_of

__all__ = ["Module", "Reference", "package_root", "read_module"]

_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_MARKS = frozenset({"step", "pipeline", "feature_view", "request_view"})
"""Decorators that say how a function is run, not what it gives."""


class Reference(NamedTuple):
    """Something a piece of source mentions.

    Attributes:
        name: the name as it stands there.
        module: the dotted module it was imported from, leading dots for relative ones; None for a name of this file.
        attributes: what is taken from that module: `("f",)` for `from m import f` or `m.f`; empty for all of it.
        text: the import, for the manifest.
    """

    name: str
    module: str | None = None
    attributes: tuple[str, ...] = ()
    text: str = ""


class Module:
    """A Python file by its top-level names.

    Attributes:
        file: where it lies.
        digest: of its bytes.
        effects: statements that run on import and may change more than the names they bind.
    """

    def __init__(self, file: Path, digest: str, body: list[ast.stmt]) -> None:
        self.file = file
        self.digest = digest
        self.effects: list[ast.stmt] = []
        self._bindings = defaultdict[str, list[ast.stmt]](list)
        self._aliases: dict[str, Reference] = {}
        self._imported: list[tuple[str, str]] = []
        self._stars: list[Reference] = []
        for statement in body:
            self._sort(statement)

    def has(self, name: str) -> bool:
        """Whether a top-level name is defined here (not imported)."""
        return name in self._bindings

    def names(self) -> tuple[str, ...]:
        """Every top-level name defined here."""
        return tuple(self._bindings)

    def imported(self) -> tuple[tuple[str, str], ...]:
        """Every import that runs when this module is imported: the dotted module, and the name taken from it or ""."""
        return tuple(dict.fromkeys(self._imported))

    def import_of(self, name: str) -> Reference | None:
        """What a top-level name was imported as."""
        return self._aliases.get(name)

    def source(self, name: str) -> str:
        """The normalised source of a name; of the effects for ""."""
        return "\n".join(ast.unparse(statement) for statement in self._statements(name))

    def references(self, name: str) -> Iterator[Reference]:
        """What the source of a name mentions; of the effects for ""."""
        for statement in self._statements(name):
            aliases = {**self._aliases, **dict(_imports_in(statement))}
            for chain in sorted(_chains(statement)):
                alias = aliases.get(chain[0])
                if alias is None:
                    yield Reference(chain[0])
                else:
                    yield alias._replace(attributes=(*alias.attributes, *chain[1:]))
        if not name:
            yield from self._stars

    def _statements(self, name: str) -> list[ast.stmt]:
        return self.effects if not name else self._bindings.get(name, [])

    def _sort(self, statement: ast.stmt) -> None:
        if _is_docstring(statement) or _is_main_block(statement):
            return
        for name, alias in _imports_in(statement, deep=not isinstance(statement, _DEFINITIONS)):
            self._imported.append((str(alias.module), alias.attributes[0] if alias.attributes else ""))
            if name == "*":
                self._stars.append(alias)
            else:
                self._aliases[name] = alias
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return
        bound = set(_bound(statement))
        for name in bound:
            self._bindings[name].append(statement)
        if not bound or isinstance(statement, ast.For | ast.While | ast.With):
            self.effects.append(statement)


def read_module(file: Path) -> Module:
    """Read a file and cut it up.

    Raises:
        CodeChanged: it is gone, or no Python.
    """
    try:
        data = file.read_bytes()
        tree = ast.parse(data, filename=str(file))
        _Normal().visit(tree)
    except (OSError, SyntaxError, ValueError) as error:
        raise CodeChanged(
            f"{file} cannot be read as Python: {error}.",
            why="A step's key is made from its source.",
            fix="Mend that file.",
            at=str(file),
        ) from error
    return Module(file, digest_of(data), tree.body)


def package_root(folder: Path) -> Path:
    """The folder from which a package's absolute imports are found: the first one above without `__init__.py`."""
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


class _Normal(ast.NodeTransformer):
    """Takes away what cannot change a result: docstrings, and how a step is to be run."""

    def visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, _DEFINITIONS):
            node.decorator_list = [mark for mark in node.decorator_list if _last_name(mark) not in _MARKS]
            if node.body and _is_docstring(node.body[0]):
                node.body = node.body[1:] or [ast.Pass()]
        return node


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_main_block(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test).replace("'", '"') in (
        '__name__ == "__main__"',
        '"__main__" == __name__',
    )


def _imports_in(statement: ast.stmt, *, deep: bool = True) -> Iterator[tuple[str, Reference]]:
    for node in ast.walk(statement) if deep else [statement]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                text = f"import {alias.name}"
                if alias.asname:
                    yield alias.asname, Reference(alias.asname, alias.name, (), text)
                else:
                    top = alias.name.partition(".")[0]
                    yield top, Reference(top, top, (), text)
                    yield alias.name, Reference(alias.name, alias.name, (), text)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                text = f"from {module} import {alias.name}"
                if alias.name == "*":
                    yield "*", Reference("*", module, (), text)
                else:
                    name = alias.asname or alias.name
                    yield name, Reference(name, module, (alias.name,), text)


def _chains(statement: ast.stmt) -> set[tuple[str, ...]]:
    """Every name, with the attributes taken from it: `a.b.c` -> ("a", "b", "c")."""
    found, pending = set[tuple[str, ...]](), list[ast.AST]([statement])
    while pending:
        node = pending.pop()
        attributes = list[str]()
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            found.add((inner.id, *attributes))
        else:
            pending.extend(ast.iter_child_nodes(inner))
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The top-level names a statement binds."""
    if isinstance(statement, _DEFINITIONS):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.For | ast.With):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
        if isinstance(statement, ast.For | ast.With):
            yield from (name for inner in statement.body for name in _bound(inner))
    elif isinstance(statement, ast.If | ast.Try | ast.While):
        handlers = [inner for handler in getattr(statement, "handlers", []) for inner in handler.body]
        blocks = (statement.body, getattr(statement, "orelse", []), getattr(statement, "finalbody", []), handlers)
        yield from (name for block in blocks for inner in block for name in _bound(inner))
