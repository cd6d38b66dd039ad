"""What only a real S3 shows: versions, unfinished multiparts, wrong keys and buckets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from kappi_chassis.storage import StorageUnavailable
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address, make_client
from kappi_chassis.storage.sigv4 import Credentials
from kappi_chassis.testing.s3_server import S3Server
from kappi_chassis.testing.signed_calls import call
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


async def test_every_version_and_marker_goes(
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


@pytest.mark.parametrize("wrong", ["secret_key", "access_key"])
async def test_wrong_credentials(s3_server: S3Server, versioned: str, wrong: str) -> None:
    server = replace(s3_server, credentials=replace(s3_server.credentials, **{wrong: "x" * 20}))
    store = server.store(versioned)
    with pytest.raises(StorageUnavailable):
        await store.head("a")
    await store.close()
    signed = server.signer(versioned).sign_get("a", now=datetime.now(UTC), lifetime=timedelta(minutes=1))
    assert (await call(signed)).status in {403, 404}  # 404: what versitygw says of an unknown account


async def test_a_missing_bucket_is_not_ready(s3_server: S3Server) -> None:
    store = s3_server.store("no-such-bucket")
    with pytest.raises(StorageUnavailable):
        await store.ready()
    with pytest.raises(StorageUnavailable):
        await store.read("a", length=1)
    with pytest.raises(StorageUnavailable):
        await store.head("a")
    await store.close()


async def test_first_calls_at_once_share_one_client(s3_server: S3Server, versioned: str) -> None:
    store = s3_server.store(versioned)
    await asyncio.gather(*(store.ready() for _ in range(20)))
    await store.close()


async def test_a_server_that_does_not_answer() -> None:
    server = S3Server("http://127.0.0.1:9", "us-east-1", Credentials("a", "b"))
    store = server.store("b")
    with pytest.raises(StorageUnavailable, match="EndpointConnectionError"):
        await store.head("a")
    await store.close()


def test_an_address_holds_the_whole_server(s3_server: S3Server) -> None:
    assert S3Server.at(s3_server.address) == s3_server
