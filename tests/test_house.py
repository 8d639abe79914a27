"""The house: who may import whom. Imports inside functions and behind TYPE_CHECKING count."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import bucle

SOURCE = Path(bucle.__file__).parent
GROUND = ["core", "code", "store", "ledger", "project", "governance", "keys"]
LINE = [
    "files",
    "contracts",
    "profiles",
    "cleaning",
    "data",
    "sources",
    "query",
    "features",
    "environments",
    "pipelines",
    "datums",
    "tracking",
    "tracing",
    "evaluation",
    "client",
    "registry",
    "gates",
    "serving",
    "deploy",
    "monitoring",
]
ROOMS = {
    **{f"ground.{room}": {f"ground.{left}" for left in GROUND[:place]} for place, room in enumerate(GROUND)},
    **{
        f"line.{room}": {f"ground.{g}" for g in GROUND}
        | {f"line.{left}" for left in LINE[:place] if left != "pipelines"}
        for place, room in enumerate(LINE)
    },
}
ROOMS["line.pipelines"] = {f"ground.{room}" for room in GROUND}
ROOMS["line.datums"].add("line.pipelines")
ROOMS["line.monitoring"] -= {"line.deploy"}
ROOMS["loop"] = {room for room in ROOMS if room.startswith(("ground", "line"))}
BELOW = ROOMS["loop"] | {"loop"}
ROOMS["doors.protocols"] = BELOW
ROOMS["doors.migrate"] = BELOW
ROOMS["doors.ui"] = BELOW
ROOMS["doors.server"] = BELOW | {"doors.protocols", "doors.ui"}
ROOMS["doors.cli"] = BELOW | {"doors.server", "doors.protocols", "doors.migrate", "doors.ui", "examples"}
ROOMS["examples"] = BELOW
FREE = {"version", "", "__main__"}
"""Modules without a room: the version, the public face, and `python -m bucle`."""


FACE_NAMES = {
    "bucle.line.environments.diff",
    "bucle.line.environments.kept",
    "bucle.line.contracts.yaml_text",
    "bucle.line.files.diff",
    "bucle.line.query.shown",
    "bucle.line.pipelines.pipeline",
    "bucle.line.pipelines.step",
    "bucle.line.tracking.fold",
}
"""Public names that modules bear as well: importing them from the face is importing the name."""


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
        for path in SOURCE.rglob("*.py")
        if "migrations" not in path.parts and path.parent.name != "project"
    }


def imports_of(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["bucle", *package.split(".")] if package else ["bucle"]
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" not in FACE_NAMES)


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in {"ground", "line", "doors"} else parts[0]


def bucle_imports() -> dict[str, set[str]]:
    known = modules()
    graph: dict[str, set[str]] = defaultdict(set)
    for name, path in known.items():
        for target in imports_of(name, path):
            short = target.removeprefix("bucle.").removeprefix("bucle")
            if target.split(".")[0] == "bucle" and short in known and short != name:
                graph[name].add(short)
    return graph


def test_every_room_imports_only_what_it_may() -> None:
    wrong = []
    for name, targets in bucle_imports().items():
        room = room_of(name)
        for target in targets:
            other = room_of(target)
            if other in FREE or other == room or room in FREE or target in {"ground", "line", "doors"}:
                continue
            if other not in ROOMS.get(room, set()):
                wrong.append(f"{name} imports {target}")
    assert wrong == []


def test_every_module_stands_in_a_known_room() -> None:
    storeys = {"ground", "line", "doors"}
    strangers = {name for name in modules() if name not in storeys and room_of(name) not in {*ROOMS, *FREE}}
    assert strangers == set()


def test_rooms_import_each_other_by_their_face() -> None:
    wrong = []
    for name, targets in bucle_imports().items():
        for target in targets:
            inner = target.startswith("line.") and target.count(".") > 1
            if inner and not target.endswith((".tables", ".lightgbm")) and room_of(target) != room_of(name):
                wrong.append(f"{name} imports {target}")
    assert wrong == []


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {
        name: {t for t in targets if not (SOURCE / Path(*t.split("."))).is_dir()}
        for name, targets in bucle_imports().items()
    }
    state: dict[str, int] = {}
    circles: list[list[str]] = []

    def visit(node: str, path: list[str]) -> None:
        state[node] = 1
        for target in sorted(graph.get(node, ())):
            if state.get(target) == 1:
                circles.append([*path[path.index(target) :], target] if target in path else [node, target])
            elif target not in state:
                visit(target, [*path, target])
        state[node] = 2

    for name in sorted(graph):
        if name not in state:
            visit(name, [name])
    assert circles == []


@pytest.mark.parametrize("word", ["Manager", "Handler", "Service", "Helper", "Util", "Abstract", "Impl"])
def test_no_class_has_a_name_that_says_nothing(word: str) -> None:
    named = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and word in node.name
    ]
    assert named == []
