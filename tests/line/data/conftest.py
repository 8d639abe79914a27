"""What the tests of data may ask for besides: a bucket."""

from buckets import bucket, credentials, s3_server

__all__ = ["bucket", "credentials", "s3_server"]
