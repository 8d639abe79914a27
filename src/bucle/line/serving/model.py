"""Model: a staged package, loaded and ready to answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.line import registry
from bucle.line.registry import Package
from bucle.line.serving.errors import EnrichMissing, ModelFailed
from bucle.line.serving.request import Request
from bucle.line.serving.schema import Tensor, schema_of

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Enrich", "Model", "Outcome", "load_model", "runtime"]

Enrich = Callable[[pl.DataFrame, Package], pl.DataFrame]
"""Adds the columns of a package's feature views to a request.

It is given the request's columns, with the instant column (`package.instant`, or `instant` when the package names none)
as `Datetime("us", "UTC")`, and returns a frame with the same rows in the same order that has every input of the model.
"""

_LOG = logging.getLogger(__name__)

Array = NDArray[Any]

_FRAME_TYPES: dict[str, Any] = {"string": pl.String, "float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean}
_SMOOTHING = 0.1
_WARM_UP_S = 0.5


class Outcome(NamedTuple):
    """What a model said to a request.

    Attributes:
        outputs: by name, one row each.
        features: the columns its feature views added.
        latency_us: how long it took, on the machine's clock.
    """

    outputs: dict[str, Array]
    features: dict[str, list[Any]]
    latency_us: int


class Model:
    """One loaded version. Safe to call from several threads.

    Attributes:
        package: its package.
        schema: what it takes.
        outputs: what it gives.
        score: the output that is its score: `probability`, or the first float, or None.
    """

    def __init__(self, package: Package, session: onnxruntime.InferenceSession, enrich: Enrich | None) -> None:
        self.package = package
        self.schema = schema_of(package, [Tensor.of(node) for node in session.get_inputs()])
        self.outputs = tuple(Tensor.of(node) for node in session.get_outputs())
        self.score = score_of([(tensor.name, tensor.dtype.kind) for tensor in self.outputs])
        self._names = [tensor.name for tensor in self.outputs]
        self._session = session
        self._enrich = enrich if package.features else None
        self._us = [0.0] * 64

    def expected_us(self, rows: int) -> float:
        """How long so many rows will take, from the calls so far; 0 before the first."""
        size = rows.bit_length()
        if self._us[size]:
            return self._us[size]
        known = next((at for at in range(size, -1, -1) if self._us[at]), size)
        return self._us[known] * float(1 << (size - known))

    def learn(self, rows: int, us: float) -> None:
        """Take a call's duration into account. One that was held up by other programs counts for little."""
        size = rows.bit_length()
        before = self._us[size] or us
        self._us[size] = before + _SMOOTHING * (min(us, 2 * before) - before)

    def run(self, request: Request, options: onnxruntime.RunOptions | None = None) -> Outcome:
        """Answer a request.

        Args:
            options: its `terminate` flag, set from another thread, ends a run that takes too long.
        Raises:
            BadInput: a number does not fit the model's type.
            ModelFailed: the model or a feature view raised.
        """
        started = time.perf_counter()
        features: dict[str, list[Any]] = {}
        columns: Mapping[str, Any] = request.columns
        if self._enrich is not None:
            features = self._enriched(request, self._enrich)
            columns = {**request.columns, **features}
        fed = self.schema.feeds(columns, request.rows)
        try:
            results = self._session.run(self._names, fed, options)
        except Exception as error:
            raise _failed(self.package.digest, error) from error
        self._check(results, request.rows)
        elapsed = (time.perf_counter() - started) * 1e6
        self.learn(request.rows, elapsed)
        return Outcome(dict(zip(self._names, results, strict=True)), features, int(elapsed))

    def _enriched(self, request: Request, enrich: Enrich) -> dict[str, list[Any]]:
        try:
            key = (self.package.features, self.package.instant)
            frame = request.enriched.get(key)
            if frame is None:
                frame = request.enriched[key] = enrich(_frame(request, self.package), self.package)
            if frame.height != request.rows:
                raise ValueError(f"the feature views gave {frame.height} rows for {request.rows}")
            wanted = [name for name in self.schema.inputs if name not in request.columns]
            return {name: frame[name].to_list() for name in wanted}
        except Exception as error:
            raise _failed(self.package.digest, error) from error

    def _check(self, results: list[Any], rows: int) -> None:
        for name, result in zip(self._names, results, strict=True):
            if not isinstance(result, np.ndarray) or result.shape[:1] != (rows,):
                shape = getattr(result, "shape", type(result).__name__)
                raise _failed(self.package.digest, ValueError(f"output {name!r} is {shape} for {rows} rows"))


def load_model(folder: Path, enrich: Enrich | None = None) -> Model:
    """A model from its staged package, every byte checked, run once so that the first client does not wait.

    Args:
        folder: of the package, named by its digest.
        enrich: adds feature columns; needed when the package pins feature views.
    Raises:
        NoSuchPackage, PackageDamaged: the package is not there or not whole.
        EnrichMissing: it pins feature views and there is nothing to compute them.
        ModelFailed: onnxruntime cannot load it.
    Cost: reads the package; one session.
    """
    package = registry.read_package(folder)
    if package.features and enrich is None:
        raise EnrichMissing(
            f"Package {package.digest[:12]} needs the feature views {', '.join(package.features)}.",
            why="This process was started without them.",
            fix="Start it with `bucle serve`, or pass --enrich MODULE:FUNCTION.",
        )
    try:
        session = runtime().InferenceSession(
            str(folder / registry.MODEL), session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise _failed(package.digest, error) from error
    model = Model(package, session, enrich)
    _warm_up(model, session)
    return model


def score_of(outputs: list[tuple[str, str]]) -> str | None:
    """Which output is the score.

    Args:
        outputs: name and numpy kind of each, in order.
    """
    names = [name for name, _ in outputs]
    if "probability" in names:
        return "probability"
    return next((name for name, kind in outputs if kind == "f"), None)


def runtime() -> Any:
    """onnxruntime, loaded when it is first needed: 20 MB that a server without an endpoint can do without."""
    import onnxruntime  # noqa: PLC0415

    return onnxruntime


def session_options() -> onnxruntime.SessionOptions:
    """One thread, so that the same row has the same bits in every batch and on every machine of a kind."""
    options = runtime().SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = runtime().ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    return options


def _warm_up(model: Model, session: onnxruntime.InferenceSession) -> None:
    """Run the bare graph on empty values, not for long. A model that fails on them may still be good."""
    feeds = {}
    for tensor in model.schema.inputs.values():
        shape = (tensor.rows or 1, *tensor.tail)
        feeds[tensor.name] = (
            np.full(shape, "", dtype=object) if tensor.dtype.kind == "O" else np.zeros(shape, tensor.dtype)
        )
    options = runtime().RunOptions()
    limit = threading.Timer(_WARM_UP_S, setattr, (options, "terminate", True))
    limit.start()
    started = time.perf_counter()
    try:
        session.run(None, feeds, options)
        started = time.perf_counter()
        session.run(None, feeds, options)
    except Exception as error:
        _LOG.info("package %s did not warm up: %s", model.package.digest[:12], error)
    finally:
        limit.cancel()
        model.learn(1, (time.perf_counter() - started) * 1e6)


def _frame(request: Request, package: Package) -> pl.DataFrame:
    types = {field.name: _FRAME_TYPES[field.type] for field in package.request.inputs}
    columns: dict[str, Any] = {name: request.columns[name] for name in types}
    name = package.instant or "instant"
    columns[name] = request.instants
    return pl.DataFrame(columns, schema={**types, name: pl.Datetime("us", "UTC")})


def _failed(digest: str, error: Exception) -> ModelFailed:
    return ModelFailed(
        f"Package {digest[:12]} failed: {type(error).__name__}: {str(error)[:300]}",
        why="Its input was in order, so the model or its feature views are not.",
        fix="Roll back: bucle deploy rollback ENDPOINT",
    )
