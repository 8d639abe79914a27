"""The only room that opens a database or a bucket."""

from bucle.ground.store.blobs import BlobPlace, Blobs, LocalBlobs, Upload, write_atomically
from bucle.ground.store.database import METADATA, SCHEMA_VERSION, Database, Instant, Json
from bucle.ground.store.errors import (
    BadUpload,
    BlobCorrupt,
    BlobMissing,
    BucketFailed,
    DatabaseFailed,
    DatabaseTooNew,
    DiskFull,
)
from bucle.ground.store.group import Work
from bucle.ground.store.lease import Lease, LeaseLost, acquire, fence, held, release, renew, this_process
from bucle.ground.store.place import open_blobs, place_of
from bucle.ground.store.prepared import Prepared, Tongue

__all__ = [
    "METADATA",
    "SCHEMA_VERSION",
    "BadUpload",
    "BlobCorrupt",
    "BlobMissing",
    "BlobPlace",
    "Blobs",
    "BucketFailed",
    "Database",
    "DatabaseFailed",
    "DatabaseTooNew",
    "DiskFull",
    "Instant",
    "Json",
    "Lease",
    "LeaseLost",
    "LocalBlobs",
    "Prepared",
    "Tongue",
    "Upload",
    "Work",
    "acquire",
    "fence",
    "held",
    "open_blobs",
    "place_of",
    "release",
    "renew",
    "this_process",
    "write_atomically",
]
