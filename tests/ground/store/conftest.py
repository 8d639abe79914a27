"""What the store's tests may ask for besides: a bucket."""

from buckets import bucket, credentials, s3_server

__all__ = ["bucket", "credentials", "s3_server"]
