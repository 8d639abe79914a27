"""The only room that opens a database or a bucket."""

from bucle.ground.store.blobs import BlobPlace, Blobs, LocalBlobs, Upload, atomically, is_digest, write_atomically
from bucle.ground.store.columns import HEAD, Plain, Serial, joined, joined_text, split
from bucle.ground.store.compare import OPERATORS, comparison, like, pattern_start
from bucle.ground.store.database import METADATA, SCHEMA_VERSION, Database, Instant, Json
from bucle.ground.store.errors import (
    BadUpload,
    BadValue,
    BlobCorrupt,
    BlobMissing,
    BucketFailed,
    DatabaseFailed,
    DatabaseTooNew,
    DiskFull,
)
from bucle.ground.store.group import Work
from bucle.ground.store.lease import Lease, LeaseLost, acquire, fence, held, release, renew, this_process
from bucle.ground.store.objects import FolderObjects, Objects, open_objects
from bucle.ground.store.place import open_blobs, place_of
from bucle.ground.store.prepared import Prepared, Tongue
from bucle.ground.store.retry import retried
from bucle.ground.store.secret import secret_of

__all__ = [
    "HEAD",
    "METADATA",
    "OPERATORS",
    "SCHEMA_VERSION",
    "BadUpload",
    "BadValue",
    "BlobCorrupt",
    "BlobMissing",
    "BlobPlace",
    "Blobs",
    "BucketFailed",
    "Database",
    "DatabaseFailed",
    "DatabaseTooNew",
    "DiskFull",
    "FolderObjects",
    "Instant",
    "Json",
    "Lease",
    "LeaseLost",
    "LocalBlobs",
    "Objects",
    "Plain",
    "Prepared",
    "Serial",
    "Tongue",
    "Upload",
    "Work",
    "acquire",
    "atomically",
    "comparison",
    "fence",
    "held",
    "is_digest",
    "joined",
    "joined_text",
    "like",
    "open_blobs",
    "open_objects",
    "pattern_start",
    "place_of",
    "release",
    "renew",
    "retried",
    "secret_of",
    "split",
    "this_process",
    "write_atomically",
]
