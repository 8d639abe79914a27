"""Namespaces: how Iceberg clients group tables, over our flat names.

A dot in a table's name parts namespaces: `sales.eu.orders` is the table `orders` of `sales.eu`; a name without a dot
is of `default`. A namespace is there when a table's name begins with it, or when it was made: then its properties are a
file of the tree, and so they branch, merge and travel in time as everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bucle.ground.core import check_name, suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.errors import NamespaceExists, NamespaceNotEmpty, NoSuchNamespace
from bucle.line.data.names import view_of_file
from bucle.line.data.step import Step, head_at, move_on
from bucle.line.data.tree import change_tree
from bucle.line.files import Tree, keep_files, load_below, pieces_of

__all__ = [
    "DEFAULT",
    "change_namespace",
    "create_namespace",
    "drop_namespace",
    "join_name",
    "namespace_properties",
    "namespaces",
    "split_name",
]

DEFAULT = "default"
"""The namespace of tables whose name has no dot; it is always there."""

FOLDER = ".iceberg/namespaces/"

_OURS = ".iceberg/"
"""Namespaces and views: a view's name makes namespaces too."""


def split_name(table: str) -> tuple[tuple[str, ...], str] | None:
    """The namespace's levels and the name within it; None for a name that Iceberg clients cannot reach.

    Example:
        >>> split_name("sales.eu.orders"), split_name("orders"), split_name("default.orders")
        ((('sales', 'eu'), 'orders'), (('default',), 'orders'), None)
    """
    *levels, name = table.split(".")
    if not all((*levels, name)) or levels[:1] == [DEFAULT]:
        return None
    return tuple(levels) or (DEFAULT,), name


def join_name(levels: Sequence[str], name: str) -> str | None:
    """Our name of a table; None when there can be none, so that no two tables of a client share one of ours.

    Example:
        >>> join_name(["sales"], "orders"), join_name(["default"], "orders"), join_name(["default"], "sales.orders")
        ('sales.orders', 'orders', None)
    """
    joined = name if tuple(levels) == (DEFAULT,) else ".".join((*levels, name))
    return joined if split_name(joined) == (tuple(levels), name) else None


def namespaces(project: Project, *, at: str = MAIN) -> list[str]:
    """Every namespace of a commit, those above others included, with dots between their levels."""
    head = head_at(project, at)
    return _names(head.tables if head else {}, load_below(project, head.files if head else "", _OURS))


def namespace_properties(project: Project, namespace: str, *, at: str = MAIN) -> dict[str, str]:
    """What is noted of a namespace.

    Raises:
        NoSuchNamespace: there is none of this name.
    """
    head = head_at(project, at)
    tree = load_below(project, head.files if head else "", _OURS)
    _check_there(namespace, _names(head.tables if head else {}, tree))
    return _properties(project, tree, namespace)


def create_namespace(
    project: Project,
    namespace: str,
    properties: Mapping[str, str],
    *,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> Commit:
    """Make a namespace.

    Raises:
        BadName: the name cannot be used.
        NamespaceExists: there is one of this name.
    """
    check_name(namespace, "namespace")
    if join_name(namespace.split("."), "table") is None:
        check_name("", f"namespace {namespace!r}")

    def step(made: Step) -> None:
        tree = load_below(project, made.tree, _OURS)
        if namespace in _names(made.tables, tree):
            raise NamespaceExists(
                f"There is a namespace {namespace!r} already.",
                why="A second one of that name would hide the first.",
                fix="Use it, or choose another name.",
                at=namespace,
            )
        _write(project, made, namespace, properties)

    return move_on(project, step, branch=branch, message=message, key=key)


def drop_namespace(
    project: Project, namespace: str, *, branch: str = MAIN, message: str, key: str | None = None
) -> Commit:
    """Remove a namespace that holds nothing.

    Raises:
        NoSuchNamespace: there is none of this name.
        NamespaceNotEmpty: it holds tables, views or namespaces, or is `default`.
    """

    def step(made: Step) -> None:
        tree = load_below(project, made.tree, _OURS)
        names = _names(made.tables, tree)
        _check_there(namespace, names)
        inner = [
            name
            for name in (*names, *made.tables, *filter(None, map(view_of_file, tree)))
            if name.startswith(f"{namespace}.")
        ]
        if inner or namespace == DEFAULT:
            raise NamespaceNotEmpty(
                f"The namespace {namespace!r} cannot be removed.",
                why=f"It holds {', '.join(inner[:10])}." if inner else "Tables without a namespace are shown in it.",
                fix="Drop or rename what it holds first." if inner else "Nothing to do.",
                at=namespace,
            )
        made.tree = change_tree(project, made.tree, {_path(namespace): None})

    return move_on(project, step, branch=branch, message=message, key=key)


def change_namespace(
    project: Project,
    namespace: str,
    updates: Mapping[str, str],
    removals: Sequence[str],
    *,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> list[str]:
    """Set and remove properties of a namespace.

    Returns:
        Of `removals`, those that were not there.
    Raises:
        NoSuchNamespace: there is none of this name.
    """
    missing = list[str]()

    def step(made: Step) -> None:
        tree = load_below(project, made.tree, _OURS)
        _check_there(namespace, _names(made.tables, tree))
        before = _properties(project, tree, namespace)
        missing[:] = [name for name in removals if name not in before]
        kept = {name: value for name, value in before.items() if name not in set(removals)}
        after = {**kept, **updates}
        if after != before:
            _write(project, made, namespace, after)

    move_on(project, step, branch=branch, message=message, key=key, told=lambda: {"missing": missing})
    first = project.ledger.find(key) if key is not None else None
    return missing if first is None else list(first.data.get("missing", missing))


def _names(tables: Mapping[str, object], tree: Mapping[str, object]) -> list[str]:
    named = [*tables, *filter(None, map(view_of_file, tree))]
    made = [path[len(FOLDER) : -len(".json")] for path in tree if path.startswith(FOLDER) and path.endswith(".json")]
    parted = [split_name(table) for table in (*named, *(f"{name}.x" for name in made))]
    levels = [found[0] for found in parted if found is not None]
    above = {".".join(one[:depth]) for one in levels for depth in range(1, len(one) + 1)}
    return sorted({DEFAULT, *above})


def _properties(project: Project, tree: Tree, namespace: str) -> dict[str, str]:
    entry = tree.get(_path(namespace))
    if entry is None:
        return {}
    try:
        return msgspec.json.decode(b"".join(pieces_of(project, entry.digest)), type=dict[str, str])
    except msgspec.DecodeError:
        # The file tree is everybody's; what someone else put here notes nothing of the namespace.
        return {}


def _write(project: Project, made: Step, namespace: str, properties: Mapping[str, str]) -> None:
    content = msgspec.json.encode(dict(properties), order="sorted")
    made.tree = change_tree(project, made.tree, keep_files(project, {_path(namespace): content}))


def _path(namespace: str) -> str:
    return f"{FOLDER}{namespace}.json"


def _check_there(namespace: str, known: Sequence[str]) -> None:
    if namespace not in known:
        raise NoSuchNamespace(
            f"There is no namespace {namespace[:200]!r}.",
            why=f"There are: {', '.join(known[:20])}.",
            fix=suggest(namespace, known) or "Make it first.",
            at=namespace[:200],
        )
