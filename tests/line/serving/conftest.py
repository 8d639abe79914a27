"""Small ONNX models and running endpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from onnx import parser

from bucle.ground.project import Project
from bucle.line import registry, serving
from bucle.line.registry import Package
from bucle.line.serving import Arm, Client, Process, Routes

PLAIN = """
<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
plain (float[N,1] hour, float[N,1] distance, string[N,1] carrier) => (float[N] probability)
<float[3,1] w = {0.1, -0.001, 0.3}, float[1] b = {%(bias)s}, int64[1] flat = {-1}>
{
  code = ai.onnx.ml.LabelEncoder
    <keys_strings = ["UA", "AA", "DL"], values_floats = [0.0, 1.0, 2.0], default_float = -1.0> (carrier)
  row = Concat <axis = 1> (hour, distance, code)
  product = MatMul (row, w)
  sum = Add (product, b)
  squashed = Sigmoid (sum)
  probability = Reshape (squashed, flat)
}
"""

# Raises inside onnxruntime when hour >= 2: there is no such element to gather.
FAILING = """
<ir_version: 8, opset_import: ["" : 17]>
failing (float[N,1] hour, float[N,1] distance, string[N,1] carrier) => (float[N] probability)
<float[2] table = {0.25, 0.75}, int64[1] flat = {-1}>
{
  index = Cast <to = 7> (hour)
  found = Gather (table, index)
  probability = Reshape (found, flat)
}
"""

# Sixty products of 512 x 512: about a second of work, between which it can be told to end.
SLOW = (
    """
<ir_version: 8, opset_import: ["" : 17]>
slow (float[N,1] hour, float[N,1] distance, string[N,1] carrier) => (float[N] probability)
<int64[2] square = {512, 512}, int64[2] one = {1, 1}, float[1] none = {0.0}>
{
  zeros = ConstantOfShape (square)
  middle = ReduceMean <keepdims = 0> (hour)
  cell = Reshape (middle, one)
  x0 = Add (zeros, cell)
"""
    + "\n".join(f"  x{i + 1} = MatMul (x{i}, x0)" for i in range(60))
    + """
  mean = ReduceMean <keepdims = 0> (x60)
  nothing = Mul (mean, none)
  flat = ReduceMean <axes = [1], keepdims = 0> (hour)
  probability = Mul (flat, nothing)
}
"""
)


def onnx_of(text: str) -> bytes:
    content: bytes = parser.parse_model(text).SerializeToString(deterministic=True)
    return content


Pack = Callable[..., Package]
Deploy = Callable[..., Routes]


def make_package(project: Project, kind: str = "plain", *, bias: float = 0.0, **options: Any) -> Package:
    text = {"plain": PLAIN % {"bias": bias}, "failing": FAILING, "slow": SLOW}[kind]
    return registry.pack(project, onnx_of(text), **options)


def place(
    project: Project,
    champion: Package,
    canary: Package | None = None,
    *,
    share: float = 0.0,
    version: int = 1,
    shadows: Sequence[Package] = (),
) -> Routes:
    """Put packages into an endpoint's folder by hand, as `deploy` does."""
    folder = serving.endpoint_folder(project.state, "flights")
    for package in (champion, *([canary] if canary else []), *shadows):
        registry.stage_package(project, package.digest, folder / "packages")
    try:
        generation = serving.load_routes(folder).generation + 1
    except serving.NoRoutes:
        generation = 1
    arms = [Arm(name="champion", model="flights", version=version, package=champion.digest, share=1 - share)]
    if canary is not None:
        arms.append(Arm(name="canary", model="flights", version=version + 1, package=canary.digest, share=share))
    routes = Routes(
        endpoint="flights",
        generation=generation,
        salt="salt",
        arms=tuple(arms),
        shadows=tuple(
            Arm(name="shadow", model="flights", version=90 + at, package=shadow.digest, share=0.0)
            for at, shadow in enumerate(shadows)
        ),
    )
    serving.save_routes(folder, routes)
    return routes


@pytest.fixture
def pack(project: Project) -> Pack:
    """Makes a package of one of the small models."""
    return partial(make_package, project)


@pytest.fixture
def deploy(project: Project) -> Deploy:
    """Puts packages into the endpoint's folder."""
    return partial(place, project)


class Standing(NamedTuple):
    """An endpoint that many tests ask."""

    client: Client
    url: str
    log: Path


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """One endpoint for all tests of a module that leave it as it is."""
    root = tmp_path_factory.mktemp("standing")
    (root / "bucle.toml").write_text('[project]\nname = "standing"\n')
    project = Project.open(root)
    place(project, make_package(project))
    process = serving.start_process(project.root, "flights", stay=False)
    with Client(process.url) as client:
        yield Standing(client, process.url, serving.endpoint_folder(project.state, "flights") / "log")
    serving.stop_process(project.state, "flights")
    project.close()


@pytest.fixture
def server(project: Project) -> Iterator[Callable[[], Process]]:
    """Starts the endpoint's process, and ends it with the test."""

    def run() -> Process:
        return serving.start_process(project.root, "flights", stay=False)

    yield run
    serving.stop_process(project.state, "flights")


@pytest.fixture
def running(pack: Pack, deploy: Deploy, server: Callable[[], Process]) -> Iterator[Client]:
    """A client of a running endpoint with one plain champion."""
    deploy(pack())
    with Client(server().url) as client:
        yield client


@pytest.fixture
def folder(project: Project) -> Path:
    return serving.endpoint_folder(project.state, "flights")


ROWS = {"hour": [5.0, 18.0, 23.0], "distance": [200.0, 733.0, 2475.0], "carrier": ["UA", "AA", "ZZ"]}


@pytest.fixture
def rows() -> dict[str, list[object]]:
    return {name: list(values) for name, values in ROWS.items()}


def wait_until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for something another process does."""
    return wait_until


@pytest.fixture
def post() -> Iterator[Callable[..., httpx.Response]]:
    """Raw requests, for bodies no client would send."""
    with httpx.Client(trust_env=False, timeout=60) as http:

        def send(url: str, body: bytes, **headers: str) -> httpx.Response:
            return http.post(url, content=body, headers={"content-type": "application/json", **headers})

        yield send
