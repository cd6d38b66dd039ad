"""The events about an item belong to the trace in which its upload was declared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import JanitorTick
from kappi_testkit.media.harness import Client, Clock, Gallery, Http
from kappi_testkit.media.samples import encode, quadrants

PNG = encode(quadrants(30, 20), "PNG")
FILE = {"filename": "a.png", "content_type": "image/png", "size": len(PNG)}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DECLARED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
Traces = Callable[[], Awaitable[Mapping[str, str]]]


@pytest.fixture
def traces(database: Database) -> Traces:
    """Returns the trace of each published event, by topic."""

    async def read() -> Mapping[str, str]:
        rows = await database.hot.fetch("SELECT topic, traceparent FROM outbox")
        return {row["topic"]: row["traceparent"][3:35] for row in rows}

    return read


async def _uploaded(client: Client, gallery: Gallery) -> dict[str, Any]:
    (promised,) = await client.sign(gallery, FILE, headers=DECLARED)
    assert await client.put(promised, PNG) == 200
    completed = await client.complete(gallery, promised["id"])
    assert completed.status == 200
    item: dict[str, Any] = completed.json
    return item


async def test_completion_and_deletion(client: Client, http: Http, gallery: Gallery, traces: Traces) -> None:
    item = await _uploaded(client, gallery)
    answer = await http("DELETE", f"/v1/media/{item['id']}", grant=gallery.grant())
    assert answer.status == 204
    assert await traces() == {"UploadCompleted": TRACE, "MediaDeleted": TRACE}


async def test_deletion_of_many(
    client: Client,
    http: Http,
    make_gallery: Callable[..., Gallery],
    bearer: Callable[[UUID], dict[str, str]],
    traces: Traces,
) -> None:
    owner_id = new_id()
    item = await _uploaded(client, make_gallery(owner_id=owner_id, expires_at=None))
    answer = await http(
        "POST", "/v1/media/bulk", headers=bearer(owner_id), body={"ids": [item["id"]], "action": "delete"}
    )
    assert answer.status == 200
    assert (await traces())["MediaDeleted"] == TRACE


async def test_an_upload_that_was_given_up(
    client: Client, gallery: Gallery, clock: Clock, processor: Processor, record: Any, traces: Traces
) -> None:
    await client.sign(gallery, FILE, headers=DECLARED)
    clock.pass_by(timedelta(hours=26))
    await processor.process(record(JanitorTick(schedule="hourly", at=clock(), origin="timer")))
    assert (await traces())["MediaDeleted"] == TRACE
