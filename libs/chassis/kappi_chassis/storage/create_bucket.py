"""`python -m kappi_chassis.storage.create_bucket` creates the bucket that `KAPPI_S3_*` names, as a job.

It lets pages of every origin use signed URLs: a signed URL is valid from anywhere, and no cookie is involved.
On AWS the CloudFormation stack makes the bucket, with further settings.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from kappi_chassis.observability.logs import configure_logging, get_logger
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage.s3_client import make_client
from kappi_chassis.storage.s3_errors import error_code
from kappi_chassis.storage.settings import StorageNotConfigured, StorageSettings, s3_place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AWS_DEFAULT_REGION = "us-east-1"
CORS: Any = {
    "CORSRules": [
        {
            "AllowedOrigins": ["*"],
            "AllowedMethods": ["GET", "HEAD", "PUT"],
            "AllowedHeaders": ["*"],
            # ETag: a browser that uploads in parts must read that of each part.
            "ExposeHeaders": ["ETag", "Content-Range", "Content-Length", "Content-Disposition"],
            "MaxAgeSeconds": 3600,
        }
    ]
}
"""CORS rules that let a browser put parts and read ranges."""

_ALREADY_OURS = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_log = get_logger(__name__)


def create_bucket(client: S3Client, bucket: str, *, region: str) -> bool:
    """Creates the bucket; returns whether it did not exist.

    Raises ClientError if it may not be created or belongs to another account.
    """
    placed: Any = {} if region == AWS_DEFAULT_REGION else {"LocationConstraint": region}
    made = True
    try:
        if placed:
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration=placed)
        else:
            client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) not in _ALREADY_OURS:
            raise
        made = False
    client.head_bucket(Bucket=bucket)
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration=CORS)
    return made


def main() -> int:
    """Returns the exit status: 0 if the bucket exists, 1 if not (the log says why)."""
    platform, settings = PlatformSettings(), StorageSettings()
    configure_logging(service="bucket", level=platform.log_level, renderer=platform.log_format)
    try:
        address, credentials = s3_place(settings)
        client = make_client(address, credentials=credentials, connections=1)
        try:
            made = create_bucket(client, address.bucket, region=address.region)
        finally:
            client.close()
    except (BotoCoreError, ClientError, StorageNotConfigured) as error:
        _log.error("bucket.not_created", error_type=type(error).__name__, error=str(error))
        return 1
    _log.info("bucket.created" if made else "bucket.up_to_date", bucket=address.bucket)
    return 0


if __name__ == "__main__":
    sys.exit(main())
