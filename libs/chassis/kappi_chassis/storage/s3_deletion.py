"""Deletion of objects on an S3: those of given keys, and all versions below a prefix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from kappi_chassis.storage.contract import DeleteReport
from kappi_chassis.storage.s3_client import S3Connection
from kappi_chassis.storage.s3_errors import is_unsupported

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

MAX_BATCH = 1000
"""Keys per DeleteObjects and per page: S3's own limit."""

_ALREADY_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})


class S3Deletion:
    """See the operations of these names in `ObjectStore`."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self._bucket = connection.bucket
        self._keeps_versions = True

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        """See `ObjectStore.delete_batch`."""
        wanted = dict.fromkeys(keys)
        if len(wanted) > MAX_BATCH:
            raise ValueError(f"At most {MAX_BATCH} keys a call")
        return await self._connection.run(partial(self._delete, found=[{"Key": key} for key in wanted]))

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        """See `ObjectStore.delete_versions_page`."""
        found = await self._connection.run(partial(self._versions_page, prefix=prefix))
        return await self._connection.run(partial(self._delete, found=found))

    def _versions_page(self, client: S3Client, *, prefix: str) -> list[ObjectIdentifierTypeDef]:
        from botocore.exceptions import ClientError  # see make_client

        if self._keeps_versions:
            try:
                versions = client.list_object_versions(Bucket=self._bucket, Prefix=prefix, MaxKeys=MAX_BATCH)
            except ClientError as error:
                if not is_unsupported(error):
                    raise
                self._keeps_versions = False
            else:
                every = [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]
                return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in every]
        current = client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=MAX_BATCH)
        return [{"Key": each["Key"]} for each in current.get("Contents", [])]

    def _delete(self, client: S3Client, *, found: Sequence[ObjectIdentifierTypeDef]) -> DeleteReport:
        if not found:
            return DeleteReport(deleted=0)
        answer = client.delete_objects(Bucket=self._bucket, Delete={"Objects": found, "Quiet": True})
        # Several versions of one key may fail: each is counted, the key is reported once.
        errors = [each for each in answer.get("Errors", []) if each.get("Code") not in _ALREADY_GONE]
        failed = {each.get("Key", ""): each.get("Code", "Unknown") for each in errors}
        return DeleteReport(deleted=len(found) - len(errors), failed=failed)
