"""Client: ask an endpoint from Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import polars as pl

from bucle.ground.core import Record
from bucle.line.serving.errors import RequestFailed

__all__ = ["Client", "Inference"]


class Inference(Record, frozen=True):
    """An endpoint's answer.

    Attributes:
        id: the request's id; with the row number it is the prediction's id.
        model: who answered.
        version: which version.
        arm: in which arm: `champion`, `canary`, `fallback`, …
        outputs: by name, one value (or list) a row.
    """

    id: str
    model: str
    version: int
    arm: str
    outputs: dict[str, list[Any]]


class _Output(msgspec.Struct):
    name: str
    shape: list[int]
    data: list[Any]


class _Reply(msgspec.Struct):
    model_name: str
    model_version: str
    id: str
    outputs: list[_Output]
    parameters: dict[str, str] = {}


_REPLY = msgspec.json.Decoder(_Reply)


class Client:
    """A connection to an endpoint, kept open. One thread at a time.

    Args:
        url: e.g. `http://127.0.0.1:8080`.
        timeout_s: for one answer.
    """

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def infer(
        self,
        model: str,
        columns: Mapping[str, Sequence[Any]] | pl.DataFrame,
        *,
        request_id: str = "",
        routing_key: str = "",
        version: int | None = None,
    ) -> Inference:
        """Ask for predictions.

        Args:
            model: the model, or the endpoint itself.
            columns: one row or more; None or NaN where a value is missing.
            request_id: a name for the request; made by the endpoint when empty.
            routing_key: who asks, so that they stay in one arm; the request's id when empty.
            version: ask exactly this one, past the routes.
        Raises:
            RequestFailed: the endpoint does not answer or refused, with its words.
        """
        given = columns.to_dict(as_series=False) if isinstance(columns, pl.DataFrame) else columns
        body: dict[str, Any] = {"inputs": [_tensor(name, list(values)) for name, values in given.items()]}
        if request_id:
            body["id"] = request_id
        if routing_key:
            body["parameters"] = {"routing_key": routing_key}
        exact = "" if version is None else f"/versions/{version}"
        return _inference(self._post(f"/v2/models/{model}{exact}/infer", body))

    def metadata(self, model: str) -> dict[str, Any]:
        """What a model takes and gives.

        Raises:
            RequestFailed: the endpoint does not answer or does not serve it.
        """
        told: dict[str, Any] = msgspec.json.decode(self._request("GET", f"/v2/models/{model}", b""))
        return told

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        return self._request("POST", path, msgspec.json.encode(body))

    def _request(self, method: str, path: str, content: bytes) -> bytes:
        try:
            answer = self._http.request(method, path, content=content, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            raise RequestFailed(
                f"The endpoint at {self._http.base_url} does not answer: {type(error).__name__}: {error}.",
                why="It may not run, or be too busy.",
                fix="See `bucle serve`.",
            ) from error
        if answer.status_code != 200:
            raise _refused(answer)
        return answer.content


def _inference(content: bytes) -> Inference:
    reply = _REPLY.decode(content)
    return Inference(
        id=reply.id,
        model=reply.model_name,
        version=int(reply.model_version),
        arm=reply.parameters.get("arm", ""),
        outputs={output.name: _shaped(output.data, output.shape) for output in reply.outputs},
    )


def _shaped(flat: list[Any], shape: list[int]) -> list[Any]:
    width = math.prod(shape[1:])
    if len(shape) < 2 or width == 1:
        return flat
    return [flat[at : at + width] for at in range(0, len(flat), width)]


def _tensor(name: str, values: list[Any]) -> dict[str, Any]:
    known = next((value for value in values if value is not None), None)
    return {"name": name, "shape": _shape(values), "datatype": _datatype(known), "data": values}


def _shape(values: list[Any]) -> list[int]:
    first = values[0] if values else None
    return [len(values), len(first)] if isinstance(first, list | tuple) else [len(values)]


def _datatype(value: Any) -> str:
    while isinstance(value, list | tuple):
        value = value[0] if value else None
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "BYTES" if isinstance(value, str) else "FP64"


def _refused(answer: httpx.Response) -> RequestFailed:
    try:
        said: dict[str, Any] = answer.json()
    except ValueError:
        said = {"what": answer.text[:300]}
    return RequestFailed(
        str(said.get("what") or said.get("error")),
        why=str(said.get("why", "")),
        fix=str(said.get("fix", "")),
        at=str(said.get("at", "")),
    )
