"""The connection to an S3: its address, a boto3 client, and blocking calls on a limited number of threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from kappi_chassis.storage.blocking_pool import BlockingPool
from kappi_chassis.storage.s3_errors import translated_errors
from kappi_chassis.storage.s3_signing import Addressing
from kappi_chassis.storage.sigv4 import Credentials

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 20
_ATTEMPTS = 2
_JOIN_TIMEOUT_S = 600
_JOIN_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """The place of a bucket. endpoint: None means AWS itself, found by `region`."""

    bucket: str
    region: str
    endpoint: str | None = None
    addressing: Addressing = Addressing.PATH


class S3Connection:
    """Calls on one bucket. boto3 is imported on the first call, so an embedded system never loads it."""

    def __init__(self, address: S3Address, *, credentials: Credentials | None, threads: int) -> None:
        """credentials: None for boto3's default chain. threads: concurrent calls, and connections kept."""
        self.bucket = address.bucket
        self._address = address
        self._credentials = credentials
        self._pool = BlockingPool(
            name="s3", threads=threads, timeout_s=_ATTEMPTS * (_CONNECT_TIMEOUT_S + _READ_TIMEOUT_S) + 5.0
        )
        # Joining the parts of a large file takes some stores minutes, and so does copying it: neither may
        # delay all other calls.
        self._patient_pool = BlockingPool(
            name="s3-join", threads=_JOIN_THREADS, timeout_s=_CONNECT_TIMEOUT_S + _JOIN_TIMEOUT_S + 5.0
        )
        self._client: S3Client | None = None
        self._patient_client: S3Client | None = None
        self._connecting = Lock()

    async def run(self, work: Callable[[S3Client], T], key: str | None = None) -> T:
        """Runs `work(client)` on a thread and translates its failures into the contract's."""
        client = self._client
        if client is None:
            client = await self._pool.run(self._connect)
        return await self._pool.run(_translated, partial(work, client), key)

    async def run_aside(self, work: Callable[[S3Client], T], key: str) -> T:
        """Does the same on the few threads of `run_with_long_timeout`, for work of many seconds.

        A cancellation waits for work that has begun.
        """
        client = self._client
        if client is None:
            client = await self._pool.run(self._connect)
        return await self._patient_pool.run_to_its_end(_translated, partial(work, client), key)

    async def run_with_long_timeout(self, work: Callable[[S3Client], T], key: str) -> T:
        """Does the same for a single call that may take minutes; it is not retried."""
        client = self._patient_client
        if client is None:
            client = await self._patient_pool.run(self._connect_with_long_timeout)
        return await self._patient_pool.run(_translated, partial(work, client), key)

    def use(self, client: S3Client) -> None:
        """Uses this client for all calls, as tests do."""
        self._client = self._patient_client = client

    async def close(self) -> None:
        """Waits for running calls, then closes the connections."""
        await self._pool.close()
        await self._patient_pool.close()
        for client in (self._client, self._patient_client):
            if client is not None:
                client.close()

    def _connect(self) -> S3Client:
        with self._connecting:
            if self._client is None:
                self._client = make_client(
                    self._address,
                    credentials=self._credentials,
                    connections=self._pool.threads + self._patient_pool.threads,
                )
            return self._client

    def _connect_with_long_timeout(self) -> S3Client:
        with self._connecting:
            if self._patient_client is None:
                self._patient_client = make_client(
                    self._address,
                    credentials=self._credentials,
                    connections=_JOIN_THREADS,
                    read_timeout_s=_JOIN_TIMEOUT_S,
                    attempts=1,
                )
            return self._patient_client


def make_client(
    address: S3Address,
    *,
    credentials: Credentials | None,
    connections: int,
    read_timeout_s: int = _READ_TIMEOUT_S,
    attempts: int = _ATTEMPTS,
) -> S3Client:
    """Returns a boto3 client with limited timeouts, retries and connections.

    credentials: None for boto3's default chain, which renews what it finds. boto3 is imported here: it takes
    40 MB and 0.3 s, which a system on a local folder need not spend.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=address.region,
        signature_version="s3v4",
        s3={"addressing_style": address.addressing.value},
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=connections,
        # Not every S3 supports the newer default checksums in trailers; SHA-256 is sent explicitly instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # Uses its own session: boto3's default session is shared and not safe to create clients from threads.
    session = boto3.session.Session()
    if credentials is not None:
        session = boto3.session.Session(
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.session_token,
        )
    client: S3Client = session.client("s3", endpoint_url=address.endpoint, config=config)
    client.meta.events.register("before-call.s3.GetObject", _ask_for_checksum)
    return client


def _ask_for_checksum(params: dict[str, Any], **_: object) -> None:
    # Without the ChecksumMode argument: with it botocore would compare a range with the whole object's sum.
    params["headers"]["x-amz-checksum-mode"] = "ENABLED"


def _translated(work: Callable[[], T], key: str | None) -> T:
    with translated_errors(key):
        return work()
