"""Routes: what a request asks for, by its method, what it names and the parameters that S3 calls subresources."""

from __future__ import annotations

from collections.abc import Callable

from bucle.doors.protocols.s3 import buckets, listing, multipart, objects
from bucle.doors.protocols.s3.errors import S3Error, not_implemented
from bucle.doors.protocols.s3.wire import Answer, Call

__all__ = ["find"]

Do = Callable[[Call], Answer]

_BUCKET: dict[tuple[str, str], Do] = {
    ("HEAD", ""): buckets.head,
    ("PUT", ""): buckets.create,
    ("GET", "location"): buckets.location,
    ("GET", "uploads"): multipart.listing,
    ("GET", "list-type"): listing.listing,
    ("GET", ""): listing.listing_v1,
    ("POST", "delete"): objects.delete_many,
}

_OBJECT: dict[tuple[str, str], Do] = {
    ("HEAD", ""): objects.get,
    ("GET", ""): objects.get,
    ("PUT", ""): objects.put,
    ("DELETE", ""): objects.delete,
    ("POST", "uploads"): multipart.create,
    ("PUT", "uploadId"): multipart.put_part,
    ("POST", "uploadId"): multipart.complete,
    ("DELETE", "uploadId"): multipart.abort,
    ("GET", "uploadId"): multipart.parts,
}

_PARAMETERS = frozenset(
    f"""prefix delimiter marker max-keys encoding-type continuation-token start-after fetch-owner x-id
    partNumber part-number-marker max-parts key-marker upload-id-marker max-uploads
    {" ".join(f"response-{name}" for name in objects.TOLD)}""".split()
)
"""Parameters that do not say what is asked for."""

_REFUSED = (
    "x-amz-server-side-encryption",
    "x-amz-object-lock",
    "x-amz-tagging",
    "x-amz-copy-source-server-side",
    "x-amz-write-offset-bytes",
    "x-amz-if-match-",
)
"""Headers that ask for what would not be done; whoever sends one must not believe it was."""


def find(call: Call) -> Do:
    """What answers a request.

    Raises:
        S3Error: there is no such bucket, or S3's operation is not here.
    """
    kinds = [name for name in call.query if name not in _PARAMETERS and not name.lower().startswith("x-amz-")]
    refused = [name for name in call.headers if name.startswith(_REFUSED)]
    if len(kinds) > 1 or refused:
        raise not_implemented(f"{call.method} with {', '.join(kinds + refused)}")
    if not call.bucket:
        if call.method != "GET" or kinds:
            raise not_implemented(f"{call.method} of no bucket")
        return buckets.listing
    ours = call.project.name
    if call.bucket != ours and not (call.method == "PUT" and not call.key):
        raise S3Error(404, "NoSuchBucket", f"There is no bucket {call.bucket[:200]!r}; this project's is {ours!r}.")
    kind = kinds[0] if kinds else ""
    found = (_OBJECT if call.key else _BUCKET).get((call.method, kind))
    if found is None or (call.method == "GET" and "partNumber" in call.query and not kind):
        raise not_implemented(f"{call.method} {'of an object' if call.key else 'of a bucket'} {kind}".strip())
    if found is objects.put and "x-amz-copy-source" in call.headers:
        return objects.copy
    return found
