"""Blobs in a bucket that speaks S3, with verified copies on the local disk."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from blake3 import blake3
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from bucle.ground.core import ConfigError, Digest, digest_of, digest_of_file
from bucle.ground.store.blobs import BlobPlace, Upload, atomically, corrupt, is_digest, missing, no_upload
from bucle.ground.store.cache import BlobCache
from bucle.ground.store.errors import BadUpload, BlobCorrupt, BucketFailed

if TYPE_CHECKING:
    from obstore import ObjectMeta

__all__ = ["MOST_PARTS", "PART", "S3Blobs", "bucket_failed", "connect"]

PART = 8 << 20
"""Bytes of one part of a large object; at most `_AT_ONCE` parts are in memory."""

MOST_PARTS = 10_000
"""What S3 allows in one upload."""

LONGEST = timedelta(days=7)
"""How long S3 lets a signed address live; an upload older than that is dead."""

_AT_ONCE = 4
_READ = 1 << 20
_UPLOADS, _DAMAGED = ".uploads", ".damaged"
_SWEEP_S = 3600


class S3Blobs:
    """Blobs as objects `prefix/ab/cdef…`, laid out as `LocalBlobs` lays out its folder.

    An object becomes visible when its upload is complete and its digest is right, never before. Failed requests are
    tried again for `[store.s3] retry_s` seconds.

    Args:
        place: the bucket, how to reach it, and the folder for copies.
    """

    def __init__(self, place: BlobPlace) -> None:
        self._place = place
        self._store = connect(place)
        self._cache = BlobCache(Path(place.folder), place.s3.cache_mb << 20)
        self._swept = -float(_SWEEP_S)

    @property
    def place(self) -> BlobPlace:
        """Where it lies."""
        return self._place

    def put(self, data: bytes) -> Digest:
        """Keep bytes; see `Blobs.put`. Raises BucketFailed; then nothing was kept."""
        digest = digest_of(data)
        if not self.has(digest):
            self._send(_key(digest), data, len(data))
        return digest

    def put_file(self, path: Path) -> Digest:
        """Keep a file's content; see `Blobs.put_file`. Raises BucketFailed; then nothing was kept.

        Cost: the file is read twice and never whole in memory.
        """
        size = path.stat().st_size
        if size <= PART:
            return self.put(path.read_bytes())
        digest = digest_of_file(path)
        if not self.has(digest):
            with path.open("rb") as source:
                self._send(_key(digest), _as_promised(source, digest, path), size)
        return digest

    def adopt(self, path: Path) -> Digest:
        """Keep a file's content; the file becomes the local copy. See `Blobs.adopt`."""
        digest = self.put_file(path)
        self._cache.adopt(digest, path)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a digest; see `Blobs.get`. Raises BucketFailed as well."""
        if (known := self._cache.read(digest)) is not None:
            return known
        data = b"".join(self._read(digest))
        self._cache.keep(digest, [data])
        return data

    def path(self, digest: str) -> Path:
        """A local copy of the verified bytes; see `Blobs.path`. Raises BucketFailed as well.

        It stays at least ten minutes; open it by then. Cost: one download unless there is a copy, one read if there is.
        """
        if not is_digest(digest):
            raise missing(digest)
        return self._cache.find(digest) or self._cache.keep(digest, self._read(digest))

    def has(self, digest: str) -> bool:
        """Whether the digest is in the bucket. Raises BucketFailed."""
        if not is_digest(digest):
            return False
        try:
            with self._asked():
                obstore.head(self._store, _key(digest))
        except FileNotFoundError:
            return False
        return True

    def set_aside(self, digest: str) -> None:
        """Take a damaged blob out of the way, to `.damaged/` in the bucket."""
        if not self.has(digest):
            return
        # By way of the disk rather than copied by the bucket itself, which does so up to 5 GB only.
        with self._local([_key(digest)], digest) as damaged, damaged.open("rb") as source:
            self._send(f"{_DAMAGED}/{digest}", iter(lambda: source.read(_READ), b""), damaged.stat().st_size)
        with self._asked():
            obstore.delete(self._store, _key(digest))
        self._cache.drop(digest)

    def digests(self) -> Iterator[Digest]:
        """Every digest in the bucket. Raises BucketFailed."""
        for found in self._list():
            digest = found["path"].replace("/", "")
            if found["path"][2:3] == "/" and is_digest(digest):
                yield Digest(digest)

    def check(self, digest: str) -> None:
        """Read the object itself and compare; see `Blobs.check`. Raises BucketFailed as well."""
        hashed = blake3()
        for chunk in self._read(digest):
            hashed.update(chunk)
        if hashed.hexdigest() != digest:
            raise corrupt(digest, self._name(_key(digest)))

    def sign(self, digest: str, *, expires: timedelta) -> str:
        """An address to download the object from; see `Blobs.sign`."""
        if not is_digest(digest):
            raise missing(digest)
        with self._asked():
            return obstore.sign(self._store, "GET", _key(digest), min(expires, LONGEST))

    def create_upload(self, parts: int, *, expires: timedelta) -> Upload:
        """Addresses for an upload in parts; see `Blobs.create_upload`.

        A part is an object of its own until the upload is complete: nobody knows the digest, which is the name, before.
        """
        if not (1 <= parts <= MOST_PARTS and timedelta(0) < expires <= LONGEST):
            raise BadUpload(
                f"An upload of {parts} parts within {expires} cannot be made.",
                why=f"A bucket takes 1 to {MOST_PARTS} parts within 7 days.",
                fix="Send larger parts.",
            )
        self._sweep()
        upload = uuid.uuid4().hex
        keys = [_part_key(upload, number) for number in range(1, parts + 1)]
        with self._asked():
            return Upload(id=upload, urls=tuple(obstore.sign(self._store, "PUT", keys, expires)))

    def complete_upload(self, upload: str, etags: Sequence[str]) -> Digest:
        """Keep the parts as one blob; see `Blobs.complete_upload`.

        Cost: the parts are downloaded, hashed, and sent as one object unless its digest is known; as much room on the
        local disk, little memory.
        """
        parts = self._parts(upload)
        if not parts:
            raise no_upload(upload)
        _compare(parts, etags, upload)
        with self._local([part["path"] for part in parts], upload) as whole:
            digest = self.adopt(whole)
        self.abort_upload(upload)
        return digest

    def abort_upload(self, upload: str) -> None:
        """Remove an upload's parts; see `Blobs.abort_upload`."""
        paths = [part["path"] for part in self._parts(upload)]
        if paths:
            with self._asked():
                obstore.delete(self._store, paths)

    def _parts(self, upload: str) -> list[ObjectMeta]:
        if not re.fullmatch(r"[0-9a-f]{32}", upload):
            raise no_upload(upload)
        return sorted(self._list(f"{_UPLOADS}/{upload}"), key=lambda part: part["path"])

    def _sweep(self) -> None:
        """Remove parts of uploads that nobody can complete any more."""
        if time.monotonic() - self._swept < _SWEEP_S:
            return
        self._swept = time.monotonic()
        dead = datetime.now(UTC) - 2 * LONGEST
        paths = [part["path"] for part in self._list(_UPLOADS) if part["last_modified"] < dead]
        if paths:
            with self._asked():
                obstore.delete(self._store, paths)

    @contextmanager
    def _local(self, keys: Sequence[str], name: str) -> Iterator[Path]:
        """Objects one after another in a file that is gone afterwards. Raises DiskFull."""
        file = self._cache.folder / "up" / name
        try:
            with atomically(file) as out:
                for key in keys:
                    for chunk in self._stream(key):
                        out.write(chunk)
            yield file
        finally:
            file.unlink(missing_ok=True)

    def _send(self, key: str, content: bytes | Iterable[bytes | memoryview], size: int) -> None:
        """Write an object; it is seen when all of it is there. An error raised by the content undoes it."""
        with self._asked():
            obstore.put(
                self._store,
                key,
                content,
                use_multipart=size > PART,
                chunk_size=max(PART, size // (MOST_PARTS - 1) + 1),
                max_concurrency=_AT_ONCE,
            )

    def _list(self, prefix: str | None = None) -> Iterator[ObjectMeta]:
        with self._asked():
            for page in obstore.list(self._store, prefix, chunk_size=1000):
                yield from page

    def _read(self, digest: str) -> Iterator[memoryview]:
        """An object's bytes as they come; nothing is compared yet."""
        if not is_digest(digest):
            raise missing(digest)
        try:
            yield from self._stream(_key(digest))
        except FileNotFoundError as error:
            raise missing(digest) from error

    def _stream(self, key: str) -> Iterator[memoryview]:
        with self._asked():
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_READ):
                yield memoryview(chunk)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Around every request: what the bucket says becomes an error of ours; a missing object is FileNotFoundError.

        Raises:
            BucketFailed: the bucket does not answer, is not there, or refused us.
        """
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise bucket_failed(self._place, error) from error
            raise
        except BaseError as error:
            raise bucket_failed(self._place, error) from error

    def _name(self, key: str) -> str:
        return f"{self._place.url}/{key}"


def bucket_failed(place: BlobPlace, error: Exception) -> BucketFailed:
    """What a bucket said, as an error of ours, without headers or signatures."""
    if isinstance(error, FileNotFoundError):
        fix = "Make the bucket, or mend its address."
    elif isinstance(error, PermissionDeniedError | UnauthenticatedError):
        fix = f"Check {place.s3.key_env} and {place.s3.secret_env} and what they may do in this bucket."
    else:
        fix = "Check the network and [store.s3] endpoint; then repeat."
    return BucketFailed(
        f"The bucket {place.url} failed: {_gist(error)}.", why="Nothing was kept half.", fix=fix, at=place.url
    )


def connect(place: BlobPlace) -> S3Store:
    """The client of a bucket. Nothing is sent yet.

    Raises:
        ConfigError: half of a key is given.
    """
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    settings = place.s3
    endpoint = settings.endpoint or _first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    given = {
        "access_key_id": _first(settings.key_env),
        "secret_access_key": _first(settings.secret_env),
        "session_token": _first(settings.token_env),
        "endpoint": endpoint,
        "region": settings.region or _first("AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1",
    }
    if bool(given["access_key_id"]) != bool(given["secret_access_key"]):
        unset = settings.secret_env if given["access_key_id"] else settings.key_env
        raise ConfigError(
            f"The environment variable {unset} is not set.",
            why=f"A key for {place.url} is two variables, and the other one is set.",
            fix=f"Set {unset}, or name other variables in [store.s3].",
            at="store.s3",
        )
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        virtual_hosted_style_request=not settings.path_style,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": "5s",
            # A stalled connection is given up; a slow one may take as long as it needs for its part.
            "read_timeout": "30s",
            "timeout": "15m",
        },
        retry_config={
            "max_retries": 10,
            "retry_timeout": timedelta(seconds=settings.retry_s),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        },
    )


def _first(*variables: str) -> str:
    """The first of these environment variables that is set."""
    return next((value for name in variables if (value := os.environ.get(name))), "")


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:]}"


def _part_key(upload: str, number: int) -> str:
    return f"{_UPLOADS}/{upload}/{number:05d}"


def _as_promised(source: BinaryIO, digest: str, path: Path) -> Iterator[bytes]:
    """A file's chunks; after the last an error if they are not what was hashed before, so that the upload is undone."""
    hashed = blake3()
    while chunk := source.read(_READ):
        hashed.update(chunk)
        yield chunk
    if hashed.hexdigest() != digest:
        raise BlobCorrupt(f"{path} changed while it was being kept.", fix="Keep it again when it is quiet.")


def _compare(parts: Sequence[ObjectMeta], etags: Sequence[str], upload: str) -> None:
    """Whether the parts that are there are those the client was told were kept.

    Raises:
        BadUpload: they are not.
    """
    wanted = [_part_key(upload, number) for number in range(1, len(etags) + 1)]
    if [part["path"] for part in parts] != wanted:
        raise BadUpload(
            f"The upload has {len(parts)} parts, {len(etags)} were named.",
            why="Its parts are one after another, without a gap.",
            fix="Send those that are missing, then complete it again.",
        )
    for number, (part, etag) in enumerate(zip(parts, etags, strict=True), 1):
        if (part["e_tag"] or "").strip('"') != etag.strip('"'):
            raise BadUpload(
                f"Part {number} of the upload is not the one whose ETag {etag[:80]!r} was given.",
                why="It was sent again since, or another one was meant.",
                fix="Send the parts again and complete it with the ETags you are answered.",
            )


def _gist(error: Exception) -> str:
    """What a failed request comes to in a few words; never its headers or signature."""
    text = str(error).partition("\n\nDebug source")[0]
    if told := re.search(r"<Code>([^<]+)</Code>\s*<Message>([^<]+)</Message>", text):
        return f"{told[1]}: {told[2]}".rstrip(".")
    text = re.sub(r"\?\S+", "", text)
    return " ".join(text.split()).rstrip(".")
