"""Signature: AWS Signature Version 4, in the header `Authorization` or in the address of a request; verified, not made.

Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

import msgspec

from bucle.doors.protocols.s3.errors import denied, invalid

__all__ = ["ALGORITHM", "UNSIGNED", "Request", "Signed", "is_signed", "parse_query", "verify"]

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
SKEW_S = 15 * 60
LONGEST_S = 7 * 24 * 3600
"""How long an address may hold."""

_TIME = "%Y%m%dT%H%M%SZ"
_SAFE = "-_.~"
_HEX64 = re.compile(r"[0-9a-f]{64}")
_SPACES = re.compile(r" +")
_CREDENTIAL = re.compile(r"([^/\s,]{1,128})/(\d{8})/([^/\s,]{0,64})/([^/\s,]{1,32})/aws4_request")

Secret = Callable[[str], str]
"""The secret of an access key's id. Raises what it will when nobody has the key."""


class Request(msgspec.Struct, frozen=True):
    """What of a request is signed.

    Attributes:
        method: `GET`, `PUT`, …
        path: as it stood on the wire, with its escapes.
        query: names and values in the order they came, unescaped.
        headers: names in lower case; values of a name that came twice, joined by a comma.
    """

    method: str
    path: str
    query: Sequence[tuple[bytes, bytes]]
    headers: Mapping[str, str]


class Signed(msgspec.Struct, frozen=True):
    """Whose signature it was, and what a body that is signed piece by piece goes on from.

    Attributes:
        access_key: its id.
        key: of this day, region and service.
        time: as it was signed.
        scope: day, region, service.
        signature: of the head.
        payload: the SHA-256 of the body, or how it is signed.
    """

    access_key: str
    key: bytes
    time: str
    scope: str
    signature: str
    payload: str


class _Claim(msgspec.Struct, frozen=True):
    """What a request says of its signature."""

    access_key: str
    scope: tuple[str, str, str]
    names: tuple[str, ...]
    signature: str
    time: str
    payload: str
    expires_s: int | None = None


def parse_query(raw: bytes, most: int = 200) -> list[tuple[bytes, bytes]]:
    """Names and values of a query string, unescaped. Raises S3Error: there are too many."""
    parts = [part.partition(b"=") for part in raw.split(b"&") if part]
    if len(parts) > most:
        raise invalid(f"A query has {most} parameters at most.")
    return [(_unescaped(name), _unescaped(value)) for name, _, value in parts]


def is_signed(headers: Mapping[str, str], raw_query: bytes) -> bool:
    """Whether a request bears a signature of this kind, good or not, or of an older one."""
    return headers.get("authorization", "").startswith(("AWS4-", "AWS ")) or b"X-Amz-Signature=" in raw_query


def verify(request: Request, secret: Secret, *, now: float | None = None) -> Signed:
    """Whose request it is.

    Args:
        request: that bears a signature.
        secret: looks up a secret.
        now: seconds since 1970; the machine's time unless given.
    Raises:
        S3Error: it is not signed as it should be, too old, or by nobody we know.
    """
    claim = _of_header(request) if "authorization" in request.headers else _of_query(request)
    _check_time(claim, time.time() if now is None else now)
    _check_names(claim, request.headers)
    key = _key_of(secret(claim.access_key), *claim.scope)
    scope = "/".join((*claim.scope, "aws4_request"))
    told = "\n".join((ALGORITHM, claim.time, scope, _digest(_canonical(request, claim).encode())))
    made = hmac.new(key, told.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(made, claim.signature):
        raise denied(
            "The request signature we calculated does not match the signature you provided. "
            "Check your secret access key and signing method.",
            "SignatureDoesNotMatch",
        )
    return Signed(claim.access_key, key, claim.time, scope, claim.signature, claim.payload)


def _of_header(request: Request) -> _Claim:
    given = request.headers["authorization"]
    kind, _, rest = given.partition(" ")
    if kind != ALGORITHM:
        raise invalid(f"Sign requests with {ALGORITHM}.", "InvalidRequest")
    parts = dict[str, str]()
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        parts[name] = value
    if set(parts) != {"Credential", "SignedHeaders", "Signature"}:
        raise invalid("The authorization header is malformed.", "AuthorizationHeaderMalformed")
    payload = request.headers.get("x-amz-content-sha256", "")
    if not payload:
        raise invalid("Missing required header for this request: x-amz-content-sha256.", "InvalidRequest")
    at = request.headers.get("x-amz-date", "")
    return _Claim(
        *_credential(parts["Credential"], "AuthorizationHeaderMalformed"),
        names=tuple(parts["SignedHeaders"].split(";")),
        signature=_checked(parts["Signature"]),
        time=at,
        payload=payload,
    )


def _of_query(request: Request) -> _Claim:
    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.query}
    if given.get("X-Amz-Algorithm") != ALGORITHM:
        raise invalid(f"X-Amz-Algorithm must be {ALGORITHM}.", "AuthorizationQueryParametersError")
    expires = given.get("X-Amz-Expires", "")
    if not (expires.isdecimal() and len(expires) < 8 and 1 <= int(expires) <= LONGEST_S):
        raise invalid(f"X-Amz-Expires must be from 1 to {LONGEST_S}.", "AuthorizationQueryParametersError")
    payload = given.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256") or UNSIGNED
    return _Claim(
        *_credential(given.get("X-Amz-Credential", ""), "AuthorizationQueryParametersError"),
        names=tuple(given.get("X-Amz-SignedHeaders", "").split(";")),
        signature=_checked(given.get("X-Amz-Signature", "")),
        time=given.get("X-Amz-Date", ""),
        payload=payload,
        expires_s=int(expires),
    )


def _credential(text: str, code: str) -> tuple[str, tuple[str, str, str]]:
    """The access key's id, and the day, region and service that the signature is for."""
    found = _CREDENTIAL.fullmatch(text)
    if found is None:
        raise invalid("The credential is no KEY/DATE/REGION/s3/aws4_request.", code)
    if found[4] != "s3":
        raise invalid(f"The credential is for the service {found[4]!r}, not for s3.", code)
    return found[1], (found[2], found[3], found[4])


def _checked(signature: str) -> str:
    if not _HEX64.fullmatch(signature):
        raise denied("The signature is no SHA-256 in hexadecimal digits.", "SignatureDoesNotMatch")
    return signature


def _check_time(claim: _Claim, now: float) -> None:
    try:
        at = datetime.strptime(claim.time, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise denied("A request needs its time, in X-Amz-Date, as 20130524T000000Z.") from error
    if not claim.time.startswith(claim.scope[0]):
        raise invalid("The day of the credential is not that of the request.", "AuthorizationHeaderMalformed")
    if claim.expires_s is not None and now > at + claim.expires_s:
        raise denied("Request has expired.")
    if at > now + SKEW_S or (claim.expires_s is None and at < now - SKEW_S):
        raise denied(
            "The difference between the request time and the current time is too large.", "RequestTimeTooSkewed"
        )


def _check_names(claim: _Claim, headers: Mapping[str, str]) -> None:
    """What says whom it is for and what it asks must be signed; else somebody on the way could change it."""
    if "host" not in claim.names:
        raise denied("The header host must be signed.")
    loose = [name for name in headers if name.startswith("x-amz-") and name not in claim.names]
    if claim.expires_s is not None:
        loose = [name for name in loose if name != "x-amz-content-sha256"]
    if loose:
        raise denied(f"There were headers present in the request which were not signed: {', '.join(loose)[:200]}")


def _canonical(request: Request, claim: _Claim) -> str:
    query = sorted(
        (quote(name, safe=_SAFE), quote(value, safe=_SAFE))
        for name, value in request.query
        if name != b"X-Amz-Signature" or claim.expires_s is None
    )
    headers = "".join(f"{name}:{_SPACES.sub(' ', request.headers.get(name, '').strip())}\n" for name in claim.names)
    return "\n".join(
        (
            request.method,
            quote(unquote_to_bytes(request.path), safe=f"/{_SAFE}"),
            "&".join(f"{name}={value}" for name, value in query),
            headers,
            ";".join(claim.names),
            claim.payload,
        )
    )


@lru_cache(maxsize=256)
def _key_of(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _unescaped(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
