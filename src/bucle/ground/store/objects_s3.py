"""Objects by name in a bucket that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from bucle.ground.store.blobs import BlobPlace
from bucle.ground.store.s3 import MOST_PARTS, PART, bucket_failed, connect

__all__ = ["S3Objects"]

_READ = 1 << 20
_AT_ONCE = 4


class S3Objects:
    """See `Objects`. Every method raises BucketFailed as well; failed requests are tried again as for blobs.

    Args:
        place: the bucket and how to reach it.
    """

    def __init__(self, place: BlobPlace) -> None:
        self._place = place
        self._store = connect(place)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._place.url

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Objects.sizes`. Cost: a request for each thousand."""
        with self._asked():
            pages = obstore.list(self._store, prefix.rstrip("/"), chunk_size=1000)
            return {one["path"]: one["size"] for page in pages for one in page}

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        with self._asked():
            return bytes(obstore.get(self._store, name).bytes())

    def read(self, name: str, begin: int, length: int) -> bytes:
        """See `Objects.read`."""
        with self._asked():
            return bytes(obstore.get_range(self._store, name, start=begin, length=length))

    def stat(self, name: str) -> tuple[int, str]:
        """See `Objects.stat`; the version is the object's ETag."""
        with self._asked():
            found = obstore.head(self._store, name)
        return found["size"], found["e_tag"] or ""

    def stream(self, name: str, version: str = "") -> Iterator[bytes | memoryview]:
        """See `Objects.stream`."""
        with self._asked():
            found = obstore.get(self._store, name, options={"if_match": version} if version else None)
            for chunk in found.stream(min_chunk_size=_READ):
                yield memoryview(chunk)

    def put(self, name: str, data: bytes) -> None:
        """See `Objects.put`."""
        with self._asked():
            obstore.put(self._store, name, data)

    def send(self, name: str, path: Path) -> None:
        """See `Objects.send`."""
        size = path.stat().st_size
        with self._asked():
            obstore.put(
                self._store,
                name,
                path,
                use_multipart=size > PART,
                chunk_size=max(PART, size // (MOST_PARTS - 1) + 1),
                max_concurrency=_AT_ONCE,
            )

    def look(self, name: str) -> tuple[bytes, str]:
        """See `Objects.look`; the version is the object's ETag."""
        try:
            with self._asked():
                found = obstore.get(self._store, name)
                return bytes(found.bytes()), found.meta["e_tag"] or ""
        except FileNotFoundError:
            return b"", ""

    def swap(self, name: str, data: bytes, version: str) -> bool:
        """See `Objects.swap`."""
        try:
            with self._asked():
                obstore.put(self._store, name, data, mode={"e_tag": version} if version else "create")
        except FileExistsError:
            return False
        return True

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise FileExistsError(self._place.url) from error
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise bucket_failed(self._place, error) from error
            raise
        except BaseError as error:
            raise bucket_failed(self._place, error) from error
