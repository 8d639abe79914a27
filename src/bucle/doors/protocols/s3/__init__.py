"""S3: any S3 client reads and writes the file tree of a branch, a tag or a commit, as `s3://PROJECT/REF/path`."""

from bucle.doors.protocols.s3.app import PREFIX, Gateway
from bucle.doors.protocols.s3.errors import S3Error

__all__ = ["PREFIX", "Gateway", "S3Error"]
