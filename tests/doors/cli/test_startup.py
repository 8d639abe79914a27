"""Start-up: what a command does not need it does not load."""

from __future__ import annotations

import json
import subprocess
import sys

from bucle.doors.cli.main import NOUNS

HEAVY = [
    "polars", "sqlalchemy", "pyarrow", "pyiceberg", "numpy", "onnx", "onnxruntime", "sklearn", "httpx", "starlette",
    "uvicorn", "rich", "alembic", "jinja2", "bucle.line", "bucle.loop", "bucle.doors.server", "bucle.doors.ui",
]  # fmt: skip
LOADED = """
import contextlib, io, json, sys
from bucle.doors.cli.main import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    for arguments in json.loads(sys.argv[1]):
        assert main(arguments) == 0, arguments
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(*commands: list[str]) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(commands)], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_the_version_and_the_overview_load_nothing_but_the_standard_library() -> None:
    ours = {name for name in loaded_by(["--version"], ["--help"]) if name.startswith("bucle")}
    assert ours == {"bucle", "bucle.version", "bucle.doors", "bucle.doors.cli", "bucle.doors.cli.main"}


def test_help_of_no_noun_loads_anything_heavy() -> None:
    nouns = [noun for group in NOUNS.values() for noun in group]
    assert loaded_by(*([noun, "--help"] for noun in nouns)) & set(HEAVY) == set()
