"""Which store a project's blobs lie in, and opening it."""

from __future__ import annotations

import re
from pathlib import Path

from bucle.ground.core import ConfigError, StoreSection, UserError
from bucle.ground.store.blobs import BlobPlace, Blobs, LocalBlobs

__all__ = ["open_blobs", "place_of"]

_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^?#]*)?")


def place_of(state: Path, section: StoreSection) -> BlobPlace:
    """Where the settings put the blobs.

    Args:
        state: the project's folder for state, for the blobs themselves or the copies of a bucket's.
    Raises:
        ConfigError: `blobs` is no address of a bucket, or holds a secret.
    """
    if not section.blobs:
        return BlobPlace(folder=str(state / "blobs"))
    if "@" in section.blobs:
        raise ConfigError(
            "[store] blobs holds a name or password before an '@'.",
            why="Secrets do not belong into bucle.toml; it is shared and printed.",
            fix="Put them into the environment variables that [store.s3] key_env and secret_env name.",
            at="store.blobs",
        )
    if not _BUCKET.fullmatch(section.blobs):
        raise ConfigError(
            f"[store] blobs = {section.blobs!r} is no address of a bucket.",
            why="Blobs lie in the project's folder or in a bucket that speaks S3.",
            fix='Write blobs = "s3://bucket/prefix", or leave it out.',
            at="store.blobs",
        )
    return BlobPlace(folder=str(state / "cache"), url=section.blobs.rstrip("/"), s3=section.s3)


def open_blobs(place: BlobPlace) -> Blobs:
    """The store at a place. A bucket is not asked anything yet.

    Raises:
        UserError: the place is a bucket and the extra `s3` is not installed.
    """
    if not place.url:
        return LocalBlobs(Path(place.folder))
    try:
        from bucle.ground.store.s3 import S3Blobs  # noqa: PLC0415  an extra
    except ImportError as error:
        raise UserError(
            f"Blobs in {place.url} need the package obstore, which is not installed.",
            why="It speaks S3.",
            fix="pip install 'bucle[s3]'",
        ) from error
    return S3Blobs(place)
