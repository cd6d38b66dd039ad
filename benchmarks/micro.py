"""Measures single operations in one process: signing a URL, compared with boto3, and encoding an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import boto3
from kappi_chassis.storage import ContentBinding
from kappi_chassis.storage.local_signing import LocalUrlSigner
from kappi_chassis.storage.s3_signing import Addressing, S3UrlSigner
from kappi_chassis.storage.sigv4 import Credentials
from kappi_contracts.events import MediaReady
from kappi_contracts.keys import original_key
from msgspec.json import encode

from benchmarks.row import Row

ROUNDS = 5
GALLERY = UUID("01936d2e-7c00-7a11-9b5e-2f6c1d0a4b01")
MEDIA = UUID("01936d2f-1a40-7c52-8e0d-93b7a6c1e202")
LIFETIME = timedelta(minutes=15)
ENDPOINT, REGION = "http://127.0.0.1:9000", "us-east-1"


def rows() -> Iterator[Row]:
    """Measures each operation; the best of some rounds counts."""
    yield from _signing()
    event = MediaReady(
        media_id=MEDIA,
        gallery_id=GALLERY,
        kind="image",
        content_type="image/jpeg",
        size_bytes=4_000_000,
        width=4000,
        height=3000,
        duration_ms=None,
        ready_at=datetime.now(UTC),
    )
    yield _row("encode an event", "msgspec", lambda: encode(event))


def _signing() -> Iterator[Row]:
    now = datetime.now(UTC)
    key = original_key(GALLERY, MEDIA)
    binding = ContentBinding("image/jpeg", 4_000_000)
    own = S3UrlSigner(
        endpoint=ENDPOINT,
        region=REGION,
        bucket="kappi",
        credentials=Credentials("access", "secret" * 4),
        addressing=Addressing.PATH,
    )
    local = LocalUrlSigner(base_url="http://127.0.0.1:8000/store/", secret=b"0123456789abcdef")
    client = boto3.client(
        "s3", endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="s"
    )
    yield _row("sign a download", "own S3", lambda: own.sign_get(key, now=now, lifetime=LIFETIME))
    for via, signer in (("own S3", own), ("local", local)):
        sign = partial(signer.sign_put, key, binding=binding, now=now, lifetime=LIFETIME)
        yield _row("sign an upload", via, sign)
    yield _row(
        "sign a download",
        "boto3",
        lambda: client.generate_presigned_url("get_object", Params={"Bucket": "kappi", "Key": key}),
        calls=300,
    )


def _row(scenario: str, via: str, operation: Callable[[], object], *, calls: int = 5_000) -> Row:
    best_s = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            operation()
        best_s = min(best_s, (time.perf_counter() - started) / calls)
    milliseconds = round(best_s * 1e3, 4)
    return Row(
        scenario,
        via,
        "one process",
        round(1 / best_s),
        milliseconds,
        milliseconds,
        0,
        f"{best_s * 1e6:.1f} µs",
    )
