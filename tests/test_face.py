"""The public face: exactly these names, each there, none of them loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import bucle


def test_every_public_name_is_there() -> None:
    assert {name: getattr(bucle, name) for name in bucle.__all__}.keys() == set(bucle.__all__)


def test_the_face_is_what_it_was_said_to_be() -> None:
    assert sorted(bucle.__all__) == [
        "BucleError", "Client", "Figure", "Html", "Image", "Project", "SimulatedClock", "Source", "Table",
        "__version__", "feature_view", "pipeline", "request_view", "run",
        "seed_everything", "start", "step",
    ]  # fmt: skip


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(bucle, "no_such_name")


def test_import_bucle_loads_nothing_heavy() -> None:
    code = "import bucle, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("polars", "numpy", "sqlalchemy", "pyarrow", "msgspec", "starlette", "httpx", "onnxruntime"):
        assert f"'{heavy}'" not in loaded
