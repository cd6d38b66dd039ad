"""Answers that a real server does not give on demand."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from kappi_chassis.storage import ObjectMissing, StorageRefused, StorageUnavailable, s3
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.s3_errors import translated_errors
from kappi_chassis.storage.sigv4 import Credentials

ADDRESS = S3Address(bucket="photos", region="us-east-1", endpoint="http://127.0.0.1:1")
CREDENTIALS = Credentials("AK", "SK")
Stubbed = tuple[S3ObjectStore, Stubber]
MODIFIED = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def stubbed() -> AsyncIterator[Stubbed]:
    store = S3ObjectStore(ADDRESS, credentials=CREDENTIALS, threads=1)
    client = make_client(ADDRESS, credentials=CREDENTIALS, connections=1)
    store._connection.use(client)
    with Stubber(client) as stubber:
        yield store, stubber
        stubber.assert_no_pending_responses()
    await store.close()


def client_error(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (client_error("NoSuchKey", 404), ObjectMissing),
        (client_error("404", 404), ObjectMissing),
        (client_error("NoSuchBucket", 404), StorageUnavailable),
        (client_error("SlowDown", 503), StorageUnavailable),
        (client_error("InternalError", 500), StorageUnavailable),
        (client_error("TooManyRequests", 429), StorageUnavailable),
        (client_error("OperationAborted", 409), StorageUnavailable),
        (client_error("RequestTimeout", 400), StorageUnavailable),
        (client_error("ExpiredToken", 400), StorageUnavailable),
        (client_error("AccessDenied", 403), StorageUnavailable),
        (client_error("KeyTooLongError", 400), StorageRefused),
        (client_error("EntityTooLarge", 400), StorageRefused),
        (client_error("MethodNotAllowed", 405), StorageRefused),
        (EndpointConnectionError(endpoint_url="http://secret-host/"), StorageUnavailable),
        (ParamValidationError(report="bad"), StorageRefused),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_errors_of_s3_become_errors_of_the_store(error: Exception, meaning: type[Exception]) -> None:
    with pytest.raises(meaning) as caught, translated_errors("a/key"):
        raise error
    assert "secret-host" not in str(caught.value)


def test_a_missing_bucket_is_not_a_missing_object() -> None:
    with pytest.raises(StorageUnavailable), translated_errors():
        raise client_error("404", 404)


async def test_a_store_that_ignores_ranges_is_read_correctly(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    answer = {
        "Body": StreamingBody(io.BytesIO(b"0123456789"), 10),
        "ContentLength": 10,
        "ETag": '"e"',
        "LastModified": MODIFIED,
    }
    stubber.add_response("get_object", answer, {"Bucket": "photos", "Key": "k", "Range": "bytes=2-4"})
    found = await store.read("k", start=2, length=3)
    assert found.body == b"234"
    assert (found.head.size_bytes, found.head.content_type) == (10, "application/octet-stream")


async def test_a_checksum_of_parts_is_no_checksum_of_the_content(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    answer = {"ContentLength": 10, "ETag": '"e-2"', "LastModified": MODIFIED, "ChecksumSHA256": "YWJj-2"}
    stubber.add_response("head_object", answer)
    head = await store.head("k")
    assert (head.sha256, head.etag) == (None, "e-2")


async def test_errors_of_single_keys_are_returned(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    errors = [{"Key": "b", "Code": "AccessDenied"}, {"Key": "c", "Code": "NoSuchKey"}]
    stubber.add_response("delete_objects", {"Errors": errors})
    report = await store.delete_batch(["a", "b", "c"])
    assert (report.deleted, report.failed) == (2, {"b": "AccessDenied"})


async def test_a_store_without_versions_is_asked_for_them_once(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    listed = {"Contents": [{"Key": "p/a", "Size": 1, "LastModified": MODIFIED}]}
    deletion = {"Bucket": "photos", "Delete": {"Objects": [{"Key": "p/a"}], "Quiet": True}}
    stubber.add_client_error("list_object_versions", "NotImplemented", http_status_code=501)
    stubber.add_response("list_objects_v2", listed)
    stubber.add_response("delete_objects", {}, deletion)
    stubber.add_response("list_objects_v2", {})
    assert (await store.delete_versions_page("p/")).deleted == 1
    assert (await store.delete_versions_page("p/")).deleted == 0


async def test_versions_and_delete_markers_are_deleted(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    listed = {
        "Versions": [{"Key": "p/a", "VersionId": "1"}, {"Key": "p/a", "VersionId": "2"}],
        "DeleteMarkers": [{"Key": "p/a", "VersionId": "3"}],
    }
    wanted = [{"Key": "p/a", "VersionId": version} for version in "123"]
    stubber.add_response("list_object_versions", listed)
    stubber.add_response(
        "delete_objects", {}, {"Bucket": "photos", "Delete": {"Objects": wanted, "Quiet": True}}
    )
    assert (await store.delete_versions_page("p/")).deleted == 3


async def test_uploads_are_aborted_page_by_page(stubbed: Stubbed) -> None:
    store, stubber = stubbed
    first = {
        "Uploads": [{"Key": "p/a", "UploadId": "1"}, {"Key": "p/b", "UploadId": "2"}],
        "IsTruncated": True,
        "NextKeyMarker": "p/b",
        "NextUploadIdMarker": "2",
    }
    stubber.add_response("list_multipart_uploads", first, {"Bucket": "photos", "Prefix": "p/"})
    stubber.add_response("abort_multipart_upload", {}, {"Bucket": "photos", "Key": "p/a", "UploadId": "1"})
    stubber.add_client_error("abort_multipart_upload", "NoSuchUpload", http_status_code=404)
    stubber.add_response(
        "list_multipart_uploads",
        {"Uploads": [{"Key": "p/c", "UploadId": "3"}], "IsTruncated": False},
        {"Bucket": "photos", "Prefix": "p/", "KeyMarker": "p/b", "UploadIdMarker": "2"},
    )
    stubber.add_response("abort_multipart_upload", {})
    assert await store.abort_multipart_uploads("p/") == 2


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    store = S3ObjectStore(ADDRESS, credentials=CREDENTIALS, threads=1)
    with pytest.raises(StorageUnavailable, match="EndpointConnectionError"):
        await store.ready()
    await store.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await store.ready()


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 0)])
async def test_impossible_ranges_are_refused(stubbed: Stubbed, start: int, length: int) -> None:
    store, _ = stubbed
    with pytest.raises(ValueError, match="range"):
        await store.read("k", start=start, length=length)


async def test_hashing_does_not_block_the_event_loop(
    stubbed: Stubbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing eight megabytes takes longer than a request may take."""
    store, stubber = stubbed
    hashing: list[str] = []

    def heard(body: bytes) -> Any:
        hashing.append(threading.current_thread().name)
        return sha256(body)

    monkeypatch.setattr(s3, "sha256", heard)
    answer = {"ETag": '"e"', "ResponseMetadata": {"HTTPHeaders": {"date": "Fri, 01 May 2026 00:00:00 GMT"}}}
    stubber.add_response("put_object", answer)
    await store.put("a/key", b"x", content_type="image/jpeg")
    assert [name.partition("_")[0] for name in hashing] == ["s3"]
