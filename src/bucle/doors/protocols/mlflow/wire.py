"""The wire: a call comes in, an answer goes out; the same for HTTP and for a client in this process.

A module of this package declares what it answers as routes:

    class CreateExperiment(Body):
        name: str = ""

    def create(body: CreateExperiment, project: Project) -> Json:
        return {"experiment_id": tracking.create_experiment(project, required("name", body.name)).id}

    ROUTES = (Route("POST", "/api/2.0/mlflow/experiments/create", CreateExperiment, create),)

A field comes from the JSON body, from the query string (GET, DELETE without a body) or from `{name}` in the path;
unknown ones are ignored, `null` means not given. What the handler returns is the JSON of the answer. A handler that
needs headers or raw bytes takes `Call` instead of a body; one that answers anything but JSON returns an `Answer`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bucle.doors.protocols.mlflow.errors import MlflowError, half_a_character, invalid, missing
from bucle.ground.core import from_micros, to_micros
from bucle.ground.project import Project

__all__ = [
    "JSON_LIMIT",
    "LARGE",
    "VALUE_BYTES",
    "Answer",
    "Body",
    "Call",
    "Content",
    "Json",
    "KeyValue",
    "NoBody",
    "Pending",
    "Route",
    "check_values",
    "decode_body",
    "decode_query",
    "double",
    "encode",
    "instant",
    "lean",
    "millis",
    "pairs",
    "required",
]

Json = dict[str, Any]
Content = bytes | Path | Iterator[bytes]
JSON_LIMIT = 16 << 20
"""No JSON body is longer; what needs more raises it for its route."""

LENIENT_LIMIT = 4 << 20
"""No longer body is read a second time, leniently: there every small value takes some hundred bytes of memory."""

LARGE = 256 << 10
"""From so many bytes on a body is read away from the event loop, and its values are counted before they are built."""

VALUE_BYTES = 16
"""Of a route's `limit` there may be one value for so many bytes: an empty object takes 3 on the wire, 100 in memory."""

_MARKS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,\[{]', re.DOTALL)
"""A text, so that what it holds is not counted, even one without an end; or a mark that begins a value."""

T = TypeVar("T")
B = TypeVar("B", bound="Body")


class Call(msgspec.Struct):
    """One request.

    Attributes:
        method: `GET`, `POST`, …
        path: percent-decoded once, e.g. `/api/2.0/mlflow/runs/create`; never `/ajax-api/…`.
        query: each name with its values.
        headers: names in lower case.
        body: what was sent; a file when the route streams.
        params: what `{name}` in the route's path stands for.
        owned: whether that file is ours, so that it may be taken instead of copied.
    """

    method: str
    path: str
    query: dict[str, list[str]] = {}
    headers: Mapping[str, str] = {}
    body: bytes | Path = b""
    params: dict[str, str] = {}
    owned: bool = False


class Answer(msgspec.Struct):
    """One response; an iterator or a file is sent in pieces."""

    status: int
    headers: dict[str, str]
    body: Content


class Pending(msgspec.Struct):
    """An answer that is there when a write is durable: what a `quick` handler returns instead of waiting.

    Attributes:
        future: of `project.database.submit(...)`.
        then: makes the JSON of the answer from what the work returned.
    """

    future: Future[Any]
    then: Callable[[Any], Json]


class Body(msgspec.Struct):
    """What a request says. Every field has a default; an empty one counts as not given."""


class NoBody(Body):
    """A request that says nothing."""


class KeyValue(Body):
    """A tag or a param."""

    key: str = ""
    value: str = ""


class Route(msgspec.Struct, frozen=True):
    """One thing a client may ask for.

    Attributes:
        method: `GET`, `POST`, …
        path: with `{name}` for one part and, at the end, `{name:path}` for all that follows.
        kind: what the request is read as; `Call` for the request itself.
        answer: `answer(request, project)`.
        quick: it neither reads a disk nor waits, so it may run on the event loop itself.
        stream: the body is written to a file and `Call.body` is that file; `limit` does not hold, but
            `[server] largest_upload_bytes`.
        check: of a route that streams, asked before its body is taken in; raises when it would be refused anyway.
        limit: bytes of body at most, unpacked.
    """

    method: str
    path: str
    kind: type[Any]
    answer: Callable[[Any, Project], Json | Answer | Pending]
    quick: bool = False
    stream: bool = False
    check: Callable[[Any, Project], None] | None = None
    limit: int = JSON_LIMIT


_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_FIELDS: dict[type[Any], dict[str, bool]] = {}
"""Names of a request's fields, and whether each is a list; to look them up anew takes longer than all the rest."""


def encode(value: Json) -> bytes:
    """The JSON of an answer."""
    return _ENCODER.encode(value)


def decode_body(data: bytes, kind: type[B], params: Mapping[str, str]) -> B:
    """A request's body as `kind`, as forgiving as protobuf's JSON: numbers may be texts, `null` is nothing.

    Raises:
        MlflowError: it is no JSON, too deep, or a field has another type.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        found: B = decoder.decode(data or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        if len(data) > LENIENT_LIMIT:
            raise invalid(f"Invalid value in the request: {error}.") from error
        found = _decode_leniently(data, kind)
    for name, value in params.items():
        setattr(found, name, value)
    return found


def check_values(data: bytes, most: int) -> None:
    """Refuse a JSON body of more values than are taken; to be asked before anything of it is built.

    Raises:
        MlflowError: it has more than `most`.
    """
    if len(data) <= LARGE or sum(map(data.count, (b",", b"[", b"{"))) <= most:
        return
    count = 0
    # No valid JSON has more texts than marks and as many keys; where there are more, counting ends as well.
    for place, found in enumerate(_MARKS.finditer(data)):
        count += found[0][:1] != b'"'
        if count > most or place > 3 * most:
            said = f"The body has more than {most} values. Send fewer at once."
            raise MlflowError("INVALID_PARAMETER_VALUE", said, status=413)


def decode_query(query: Mapping[str, list[str]], kind: type[B], params: Mapping[str, str]) -> B:
    """A query string as `kind`; a name that is a list takes all its values, any other its first.

    Raises:
        MlflowError: a field has another type.
    """
    given: Json = {**query, **{name: [value] for name, value in params.items()}}
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = {field.name: _is_list(field.type) for field in msgspec.structs.fields(kind)}
    try:
        return msgspec.convert(
            {name: given[name] if is_list else given[name][0] for name, is_list in fields.items() if name in given},
            kind,
            strict=False,
        )
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid parameter: {error}.") from error


def required(name: str, value: T | None) -> T:
    """The value, when it was given.

    Raises:
        MlflowError: it was not, or is empty.
    """
    if value is None or value == "":
        raise missing(name)
    return value


def lean(found: Json) -> Json:
    """A message without the fields that are not set."""
    return {name: value for name, value in found.items() if value is not None}


def pairs(values: Mapping[str, str]) -> list[Json]:
    """Tags or params as the wire lists them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def double(value: float | None) -> float | str:
    """A number as protobuf's JSON writes it; None is not-a-number."""
    if value is None or math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def millis(at: datetime | None) -> int | None:
    """Milliseconds since 1970."""
    return None if at is None else to_micros(at) // 1000


def instant(at: int | None) -> datetime | None:
    """The instant so many milliseconds after 1970; None for 0 and for nothing.

    Raises:
        MlflowError: no calendar reaches that far.
    """
    if not at:
        return None
    try:
        return from_micros(at * 1000).astimezone(UTC)
    except OverflowError as error:
        raise invalid(f"Invalid value {at} for a timestamp: it must be milliseconds since 1970.") from error


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", kind) in (list, tuple) or any(
        getattr(one, "__origin__", None) is list for one in getattr(kind, "__args__", ())
    )


def _decode_leniently(data: bytes, kind: type[B]) -> B:
    """What the strict reading refused: `null` fields, bare NaN, a body that was encoded twice."""
    try:
        found = json.loads(data)
        if isinstance(found, str):
            found = json.loads(found)
        if not isinstance(found, dict):
            raise MlflowError("BAD_REQUEST", f"The body must be a JSON object, not {type(found).__name__}.")
        return msgspec.convert(_without_nulls(found), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid value in the request: {error}.") from error
    except RecursionError as error:
        raise MlflowError("BAD_REQUEST", "The body is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise half_a_character() from error
    except ValueError as error:
        raise MlflowError("BAD_REQUEST", f"The body is no JSON: {str(error)[:200]}") from error


def _without_nulls(value: Any) -> Any:
    """A value without its nulls.

    Raises:
        UnicodeEncodeError: a text of it holds half a character, which Python reads and nobody can keep.
    """
    if isinstance(value, dict):
        return {_whole(name): _without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return _whole(value) if isinstance(value, str) else value


def _whole(text: str) -> str:
    if not text.isascii():
        text.encode()
    return text
