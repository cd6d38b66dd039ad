"""Behaviour that only a real S3 shows: versions, unfinished multiparts, wrong keys and buckets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from kappi_chassis.storage import ObjectMissing, StorageUnavailable
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.sigv4 import Credentials
from kappi_testkit.servers.s3 import S3Server
from kappi_testkit.signed_requests import call
from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def versioned(s3_server: S3Server) -> str:
    return s3_server.create_bucket(versioned=True)


@pytest.fixture
async def store(s3_server: S3Server, versioned: str) -> AsyncIterator[S3ObjectStore]:
    store = s3_server.store(versioned)
    yield store
    await store.close()


@pytest.fixture
def client(s3_server: S3Server, versioned: str) -> Iterator[S3Client]:
    address = S3Address(bucket=versioned, region=s3_server.region, endpoint=s3_server.endpoint)
    client = make_client(address, credentials=s3_server.credentials, connections=1)
    yield client
    client.close()


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4()}/"


async def test_every_version_and_delete_marker_is_deleted(
    store: S3ObjectStore, client: S3Client, versioned: str, prefix: str
) -> None:
    for body in (b"1", b"2", b"3"):
        await store.put(prefix + "a", body, content_type="text/plain")
    await store.put(prefix + "b", b"x", content_type="text/plain")
    assert (await store.delete_batch([prefix + "a"])).deleted == 1
    assert [found.key for found in (await store.list_page(prefix)).objects] == [prefix + "b"]
    report = await store.delete_versions_page(prefix)
    assert (report.deleted, report.failed) == (5, {})
    left = client.list_object_versions(Bucket=versioned, Prefix=prefix)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")
    assert (await store.delete_versions_page(prefix)).deleted == 0


async def test_unfinished_multiparts_are_aborted(
    store: S3ObjectStore, client: S3Client, versioned: str, prefix: str
) -> None:
    for name in ("in/a", "in/b", "out"):
        client.create_multipart_upload(Bucket=versioned, Key=prefix + name)
    assert await store.abort_multipart_uploads(prefix + "in/") == 2
    assert await store.abort_multipart_uploads(prefix + "in/") == 0
    left = client.list_multipart_uploads(Bucket=versioned, Prefix=prefix)
    assert [upload["Key"] for upload in left["Uploads"]] == [prefix + "out"]


THREE_PARTS = bytes(range(256)) * 4 * 1024 * 12
"""Copies in parts of at most 5 MiB."""


@pytest.fixture(params=["plain", "versioned"])
def bucket(request: pytest.FixtureRequest, s3_server: S3Server, versioned: str) -> str:
    return versioned if request.param == "versioned" else s3_server.create_bucket()


@pytest.fixture
async def store_of_small_parts(s3_server: S3Server, bucket: str) -> AsyncIterator[S3ObjectStore]:
    address = S3Address(bucket=bucket, region=s3_server.region, endpoint=s3_server.endpoint)
    store = S3ObjectStore(address, credentials=s3_server.credentials, copy_part_bytes=5 << 20)
    await store.ready()  # creates the client
    yield store
    await store.close()


def before_part(store: S3ObjectStore, wanted: int, happens: Callable[[], object]) -> None:
    """Calls `happens` before the n-th part of a copy is requested."""
    calls = count(1)

    def look(**_: object) -> None:
        if next(calls) == wanted:
            happens()

    client = store._connection._client
    assert client is not None
    client.meta.events.register("before-call.s3.UploadPartCopy", look)


@pytest.mark.parametrize("part", [1, 2, 3])
async def test_a_copy_fails_if_its_source_is_replaced_between_two_parts(
    store_of_small_parts: S3ObjectStore, client: S3Client, bucket: str, prefix: str, part: int
) -> None:
    store, key = store_of_small_parts, prefix + "a"
    await store.put(key, THREE_PARTS, content_type="video/mp4")
    before_part(store, part, lambda: client.put_object(Bucket=bucket, Key=key, Body=THREE_PARTS[::-1]))
    with pytest.raises(StorageUnavailable, match="replaced"):
        await store.copy(key, prefix + "b")
    assert (await store.list_page(prefix + "b")).objects == ()
    assert await store.abort_multipart_uploads(prefix) == 0


@pytest.mark.parametrize("part", [1, 2, 3])
# versitygw copies an object that a delete marker hides.
@pytest.mark.parametrize("bucket", ["plain"], indirect=True)
async def test_a_copy_fails_if_its_source_is_deleted_between_two_parts(
    store_of_small_parts: S3ObjectStore, client: S3Client, bucket: str, prefix: str, part: int
) -> None:
    store, key = store_of_small_parts, prefix + "a"
    await store.put(key, THREE_PARTS, content_type="video/mp4")
    before_part(store, part, lambda: client.delete_object(Bucket=bucket, Key=key))
    with pytest.raises(ObjectMissing) as caught:
        await store.copy(key, prefix + "b")
    assert caught.value.args == (key,)
    assert (await store.list_page(prefix + "b")).objects == ()
    assert await store.abort_multipart_uploads(prefix) == 0


async def test_a_copy_cancelled_between_two_parts_leaves_nothing(
    store_of_small_parts: S3ObjectStore, prefix: str
) -> None:
    store = store_of_small_parts
    await store.put(prefix + "a", THREE_PARTS, content_type="video/mp4")
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    before_part(store, 2, lambda: loop.call_soon_threadsafe(asked.set))
    copying = asyncio.create_task(store.copy(prefix + "a", prefix + "b"))
    await asked.wait()
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert (await store.list_page(prefix + "b")).objects == ()
    assert await store.abort_multipart_uploads(prefix) == 0


@pytest.mark.parametrize("size_bytes", [10, len(THREE_PARTS)])
async def test_a_copy_has_the_current_version(
    store_of_small_parts: S3ObjectStore, prefix: str, size_bytes: int
) -> None:
    store = store_of_small_parts
    for content in (THREE_PARTS[::-1], THREE_PARTS):
        await store.put(prefix + "a", content[:size_bytes], content_type="video/mp4")
        await store.copy(prefix + "a", prefix + "b")
    copied = b"".join([chunk async for chunk in store.stream(prefix + "b")])
    assert copied == THREE_PARTS[:size_bytes]


@pytest.mark.parametrize("wrong", ["secret_key", "access_key"])
async def test_wrong_credentials_are_refused(s3_server: S3Server, versioned: str, wrong: str) -> None:
    server = replace(s3_server, credentials=replace(s3_server.credentials, **{wrong: "x" * 20}))
    store = server.store(versioned)
    with pytest.raises(StorageUnavailable):
        await store.head("a")
    await store.close()
    signed = server.signer(versioned).sign_get("a", now=datetime.now(UTC), lifetime=timedelta(minutes=1))
    assert (await call(signed)).status in {403, 404}  # 404: versitygw's answer to an unknown account


async def test_a_missing_bucket_is_not_ready(s3_server: S3Server) -> None:
    store = s3_server.store("no-such-bucket")
    with pytest.raises(StorageUnavailable):
        await store.ready()
    with pytest.raises(StorageUnavailable):
        await store.read("a", length=1)
    with pytest.raises(StorageUnavailable):
        await store.head("a")
    await store.close()


async def test_concurrent_first_calls_share_one_client(s3_server: S3Server, versioned: str) -> None:
    store = s3_server.store(versioned)
    await asyncio.gather(*(store.ready() for _ in range(20)))
    await store.close()


async def test_a_server_that_does_not_answer_is_unavailable() -> None:
    server = S3Server("http://127.0.0.1:9", "us-east-1", Credentials("a", "b"))
    store = server.store("b")
    with pytest.raises(StorageUnavailable, match="EndpointConnectionError"):
        await store.head("a")
    await store.close()


def test_a_server_can_be_rebuilt_from_its_address(s3_server: S3Server) -> None:
    assert S3Server.at(s3_server.address) == s3_server
