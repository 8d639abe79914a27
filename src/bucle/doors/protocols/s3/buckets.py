"""Buckets: there is one, the project."""

from __future__ import annotations

from bucle.doors.protocols.s3.errors import S3Error, denied
from bucle.doors.protocols.s3.wire import Answer, Call, document, iso_time
from bucle.line import data

__all__ = ["create", "head", "listing", "location"]


def listing(call: Call) -> Answer:
    """The project, as the one bucket."""
    made = data.branches(call.project)[0].at or call.project.clock.now()
    bucket = [("Name", call.project.name), ("CreationDate", iso_time(made))]
    owner = [("ID", call.principal), ("DisplayName", call.principal)]
    return document("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", [("Bucket", bucket)])])


def head(call: Call) -> Answer:
    """That it is there."""
    return Answer(200, {"x-amz-bucket-region": "us-east-1"})


def location(call: Call) -> Answer:
    """No region: what S3 says of its oldest one."""
    return document("LocationConstraint", [])


def create(call: Call) -> Answer:
    """Refused: buckets are projects."""
    if call.bucket == call.project.name:
        raise S3Error(409, "BucketAlreadyOwnedByYou", "The bucket is the project, and is there.")
    raise denied("A bucket is a project: make one with `bucle init`.")
