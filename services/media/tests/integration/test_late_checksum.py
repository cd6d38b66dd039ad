"""Checksums that take longer than a request: accepted unread, checked before a viewer sees the item."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from kappi_contracts.keys import original_key
from kappi_media.use_cases import checksums
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Gallery, Published, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(300, 200), "JPEG")
TRUE = hashlib.sha256(JPEG).hexdigest()
Publications = Callable[..., Awaitable[list[Published]]]


@pytest.fixture(autouse=True)
def store_without_checksums(store: FaultyStore) -> None:
    store.forgets_checksums = True


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the uploads of these tests count as large."""
    monkeypatch.setattr(checksums, "INLINE_LIMIT_BYTES", 100)


async def _completed(client: Client, gallery: Gallery, store: FaultyStore, sha256: str) -> dict[str, Any]:
    file = {"filename": "a.jpg", "size": len(JPEG), "content_type": "image/jpeg", "sha256": sha256}
    (promised,) = await client.sign(gallery, file)
    await store.put(original_key(gallery.id, promised["media_id"]), JPEG, content_type="image/jpeg")
    answer = await client.complete(gallery, promised["id"])
    assert answer.status == 200, answer.body
    item: dict[str, Any] = answer.json
    return item


async def _worked_on(worker: Worker, published: Publications) -> None:
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))


async def _item(client: Client, gallery: Gallery, item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (
        await client.http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
    ).json
    return found


@pytest.mark.usefixtures("large")
async def test_a_true_one_is_known_when_the_item_is_ready(
    client: Client, gallery: Gallery, store: FaultyStore, worker: Worker, published: Publications
) -> None:
    item = await _completed(client, gallery, store, TRUE)
    assert (item["status"], item["sha256"], store.streams) == ("processing", None, 0)
    await _worked_on(worker, published)
    ready = await _item(client, gallery, item)
    assert (ready["status"], ready["sha256"], store.streams) == ("ready", TRUE, 1)


@pytest.mark.usefixtures("large")
async def test_a_false_one_never_gets_ready(
    client: Client, gallery: Gallery, store: FaultyStore, worker: Worker, published: Publications
) -> None:
    item = await _completed(client, gallery, store, "0" * 64)
    await _worked_on(worker, published)
    refused = await _item(client, gallery, item)
    assert (refused["status"], refused["rejection_reason"]) == ("rejected", "checksum_mismatch")
    (event,) = await published("MediaRejected")
    assert event.data["reason"] == "checksum_mismatch"
    assert await published("MediaReady") == []


async def test_a_slow_store_does_not_keep_the_request(
    client: Client,
    gallery: Gallery,
    store: FaultyStore,
    worker: Worker,
    published: Publications,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = store.stream

    async def stuck(key: str, **_: Any) -> AsyncGenerator[bytes]:
        await asyncio.Event().wait()
        yield b""

    monkeypatch.setattr(checksums, "INLINE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(store, "stream", stuck)
    item = await _completed(client, gallery, store, TRUE)
    assert item["sha256"] is None
    monkeypatch.setattr(store, "stream", stream)
    await _worked_on(worker, published)
    assert (await _item(client, gallery, item))["sha256"] == TRUE


async def test_small_ones_are_looked_at_before_the_answer(
    client: Client, gallery: Gallery, store: FaultyStore, worker: Worker, published: Publications
) -> None:
    item = await _completed(client, gallery, store, TRUE)
    assert (item["sha256"], store.streams) == (TRUE, 1)
    await _worked_on(worker, published)
    assert store.streams == 1
