"""App: the endpoint over HTTP, as a bare ASGI application.

    GET  /v2, /v2/health/live, /v2/health/ready                       Open Inference Protocol v2
    GET  /v2/models/M[/versions/V], /v2/models/M[/versions/V]/ready
    POST /v2/models/M[/versions/V]/infer
    POST /invocations; GET /ping, /health                             MLflow's model server, SageMaker
    GET  /metrics                                                     Prometheus
    POST /bucle/reload, /bucle/rotate                                 what the control plane asks of it

No router and no framework stands in the way: a request to `/infer` is a split of its path and a few calls.

Source: https://github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bucle.ground.core import BucleError, Clock, encode
from bucle.line.serving.endpoint import Answer, Endpoint, State
from bucle.line.serving.errors import BodyTooLarge, UnknownPath, WrongMedia, WrongMethod
from bucle.line.serving.metrics import Metrics
from bucle.line.serving.reply import infer_reply, invocation_reply, model_metadata, server_metadata
from bucle.line.serving.request import read_infer, read_invocation

__all__ = ["App"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger(__name__)
_MODELS = "/v2/models/"
_JSON = b"application/json"
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class App:
    """The ASGI application of one endpoint.

    Args:
        endpoint: answers.
        clock: tells when a request arrived.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._prefix = os.urandom(8).hex()
        self._numbers = itertools.count()
        self._plain: dict[str, tuple[str, Callable[[], Awaitable[bytes]]]] = {
            "/v2": ("GET", self._about),
            "/v2/health/live": ("GET", self._alive),
            "/v2/health/ready": ("GET", self._ready),
            "/ping": ("GET", self._ready),
            "/health": ("GET", self._ready),
            "/metrics": ("GET", self._metrics),
            "/bucle/reload": ("POST", self._reload),
            "/bucle/rotate": ("POST", self._rotate),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except BucleError as error:
            self._endpoint.metrics.refused(error.code)
            body = encode({"error": error.what, **error.as_dict()})
            await _reply(send, body, status=error.http_status)
        except Exception:
            # The door's last resort: the client learns nothing of our insides, the log learns all.
            _LOG.exception("request to %s failed", scope["path"])
            await _reply(send, b'{"error":"internal error","code":"BU1100"}', status=500)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.endswith("/infer") and path.startswith(_MODELS):
            return await self._infer(scope, receive, send)
        if path == "/invocations":
            return await self._invoke(scope, receive, send)
        if path in self._plain:
            method, reply = self._plain[path]
            _check_method(scope, method)
            body = await reply()
            return await _reply(send, body, media=_TEXT if path == "/metrics" else _JSON)
        if path.startswith(_MODELS):
            _check_method(scope, "GET")
            return await _reply(send, self._model(path))
        raise UnknownPath(
            f"There is no {path[:80]!r} here.", why="This is a model's endpoint.", fix="GET /v2 says what it serves."
        )

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check_method(scope, "POST")
        state = self._endpoint.state
        name = scope["path"][len(_MODELS) : -len("/infer")]
        arm = state.arm_of(name)
        body = await _body(scope, receive, self._endpoint.settings.max_body_bytes)
        started = time.perf_counter()
        champion = state.champion
        request = read_infer(
            body,
            champion.schema,
            champion.package,
            fallback_id=self._identity(),
            now=self._clock.now(),
            max_rows=self._endpoint.settings.max_rows,
        )
        answer = await self._endpoint.answer(state, request, arm if "/" in name else None, started)
        await _reply(send, infer_reply(answer))
        self._shadow(state, answer)

    async def _invoke(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check_method(scope, "POST")
        state, headers = self._endpoint.state, dict(scope["headers"])
        _check_media(headers)
        body = await _body(scope, receive, self._endpoint.settings.max_body_bytes)
        started = time.perf_counter()
        champion = state.champion
        request = read_invocation(
            body,
            champion.schema,
            champion.package,
            identity=headers.get(b"x-request-id", b"").decode("latin-1") or self._identity(),
            routing_key=headers.get(b"x-routing-key", b"").decode("latin-1"),
            now=self._clock.now(),
            max_rows=self._endpoint.settings.max_rows,
        )
        answer = await self._endpoint.answer(state, request, None, started)
        await _reply(send, invocation_reply(answer))
        self._shadow(state, answer)

    def _shadow(self, state: State, answer: Answer) -> None:
        if state.routes.shadows:
            self._endpoint.shadow(state, answer.request)

    def _model(self, path: str) -> bytes:
        """Metadata of a model, or that it is ready."""
        state, name = self._endpoint.state, path[len(_MODELS) :]
        if name.endswith("/ready"):
            return encode({"name": state.arm_of(name[: -len("/ready")]).model, "ready": True})
        arm = state.arm_of(name)
        return model_metadata(state, arm if "/" in name else state.routes.champion)

    def _identity(self) -> str:
        return f"{self._prefix}{next(self._numbers):08x}"

    async def _about(self) -> bytes:
        return server_metadata()

    async def _alive(self) -> bytes:
        return b'{"live":true}'

    async def _ready(self) -> bytes:
        return encode({"ready": True, "generation": self._endpoint.state.routes.generation})

    async def _metrics(self) -> bytes:
        metrics: Metrics = self._endpoint.metrics
        return metrics.text().encode()

    async def _reload(self) -> bytes:
        return encode({"generation": await self._endpoint.reload()})

    async def _rotate(self) -> bytes:
        await self._endpoint.rotate()
        return b'{"rotated":true}'


def _check_method(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise WrongMethod(f"{scope['path'][:80]} is not for {scope['method']}.", fix=f"Use {method}.")


def _check_media(headers: dict[bytes, bytes]) -> None:
    media = headers.get(b"content-type", _JSON).split(b";")[0].strip().lower()
    if media not in (_JSON, b""):
        raise WrongMedia(
            f"The body is {media.decode('latin-1')[:60]!r}.",
            why="This endpoint reads JSON.",
            fix="Send application/json, e.g. {'dataframe_split': …}.",
        )


async def _body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The request's body. Raises: BodyTooLarge: before it is read when the client says its length."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {limit} bytes.",
        why="One request must not starve the others.",
        fix="Send it in parts, or raise [serving] max_body_bytes.",
    )


async def _reply(send: Send, body: bytes, *, status: int = 200, media: bytes = _JSON) -> None:
    headers = [(b"content-type", media), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
