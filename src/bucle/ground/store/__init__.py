"""The only room that opens a database or a bucket."""

from bucle.ground.store.blobs import Blobs, LocalBlobs, write_atomically
from bucle.ground.store.database import METADATA, SCHEMA_VERSION, Database, Instant, Json
from bucle.ground.store.errors import BlobCorrupt, BlobMissing, DatabaseFailed, DatabaseTooNew, DiskFull
from bucle.ground.store.lease import Lease, LeaseLost, acquire, fence, held, release, renew, this_process

__all__ = [
    "METADATA",
    "SCHEMA_VERSION",
    "BlobCorrupt",
    "BlobMissing",
    "Blobs",
    "Database",
    "DatabaseFailed",
    "DatabaseTooNew",
    "DiskFull",
    "Instant",
    "Json",
    "Lease",
    "LeaseLost",
    "LocalBlobs",
    "acquire",
    "fence",
    "held",
    "release",
    "renew",
    "this_process",
    "write_atomically",
]
