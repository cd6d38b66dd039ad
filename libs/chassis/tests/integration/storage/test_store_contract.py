from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from kappi_chassis.storage import ObjectStore, UrlSigner
from kappi_chassis.storage.s3 import S3ObjectStore
from kappi_chassis.storage.s3_client import S3Address
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.servers.s3 import S3Server
from kappi_testkit.storage_contract.copies import CopyContract
from kappi_testkit.storage_contract.suite import ObjectStoreContract

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.create_bucket()


@pytest.fixture(scope="module")
def s3_store(s3_server: S3Server, bucket: str) -> Iterator[ObjectStore]:
    # One for the module, as creating a boto3 client takes longer than a test; it belongs to no event loop.
    store = s3_server.store(bucket)
    yield store
    asyncio.run(store.close())


@pytest.fixture(scope="module")
def s3_store_of_small_parts(s3_server: S3Server, bucket: str) -> Iterator[ObjectStore]:
    address = S3Address(bucket=bucket, region=s3_server.region, endpoint=s3_server.endpoint)
    store = S3ObjectStore(address, credentials=s3_server.credentials, copy_part_bytes=5 << 20)
    yield store
    asyncio.run(store.close())


class TestLocalStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, served_local_store: ServedLocalStore) -> ObjectStore:
        return served_local_store.store

    @pytest.fixture
    def signer(self, served_local_store: ServedLocalStore) -> UrlSigner:
        return served_local_store.signer


class TestS3(ObjectStoreContract):
    @pytest.fixture
    def store(self, s3_store: ObjectStore) -> ObjectStore:
        return s3_store

    @pytest.fixture
    def signer(self, s3_server: S3Server, bucket: str) -> UrlSigner:
        return s3_server.signer(bucket)


class TestS3CopiesInParts(CopyContract):
    @pytest.fixture
    def store(self, s3_store_of_small_parts: ObjectStore) -> ObjectStore:
        return s3_store_of_small_parts
