"""The embedded broker loses its records at a crash: more than a page of events is sent again, in pages."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from kappi_client.api import Api
from kappi_embedded.replaying import PAGE
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import EmbeddedStack

pytestmark = pytest.mark.integration

GALLERIES = 2 * PAGE + 200
CLIENTS = 16


async def create_galleries(stack: EmbeddedStack) -> None:
    async with Api(stack.base_url, connections=CLIENTS) as api:

        async def client(numbers: Iterator[int]) -> None:
            for _ in numbers:
                await api.call("POST", "/v1/galleries", json={})

        numbers = iter(range(GALLERIES))
        await asyncio.gather(*(client(numbers) for _ in range(CLIENTS)))


async def ask(stack: EmbeddedStack, service: str, statement: str) -> Any:
    database = await asyncpg.connect(stack.database_url(service))
    try:
        return await database.fetchval(statement)
    finally:
        await database.close()


async def replayed(stack: EmbeddedStack, count: int) -> None:
    """Waits until so many events of the galleries were replayed; the stack is ready before that."""
    log = stack.data_dir / "logs" / "replayer.log"

    def count_is_logged() -> None:
        lines = log.read_text().splitlines() if log.exists() else []
        entries = [json.loads(line) for line in lines if "replayer.replayed" in line]
        assert [entry["events"] for entry in entries if entry["database"] == "galleries"][-1:] == [count]

    await eventually(count_is_logged, 60)


async def test_a_crash_loses_no_event_and_repeats_no_effect(embedded_stack: EmbeddedStack) -> None:
    await create_galleries(embedded_stack)
    embedded_stack.crash()
    embedded_stack.start()
    await replayed(embedded_stack, GALLERIES)
    await embedded_stack.wait_idle()
    # The janitor stores one due date per gallery, however often it received the event.
    assert await ask(embedded_stack, "janitor", "SELECT count(*) FROM due_galleries") == GALLERIES
    assert await ask(embedded_stack, "galleries", "SELECT count(*) FROM outbox") == GALLERIES


async def test_settled_events_are_not_sent_again(embedded_stack: EmbeddedStack) -> None:
    settled = embedded_stack.data_dir / "settled-until"
    embedded_stack.stop()
    settled.write_text(datetime.now(UTC).isoformat())
    embedded_stack.start()
    await replayed(embedded_stack, 0)
