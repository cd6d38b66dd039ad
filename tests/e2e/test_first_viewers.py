"""A picture that many viewers request at the same time, on a stack with default settings."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

VIEWERS = 500
_DECODER = "kappi_media.rendering.worker"


@contextmanager
def decoders_held(media_pid: int) -> Iterator[None]:
    """Stops the media service's decoder processes, as on an overloaded machine."""
    children = Path(f"/proc/{media_pid}/task/{media_pid}/children").read_text().split()
    decoders = [int(pid) for pid in children if _DECODER in Path(f"/proc/{pid}/cmdline").read_text()]
    assert decoders
    for pid in decoders:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in decoders:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
async def viewers() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_five_hundred_first_viewers_get_one_decoding_while_pages_are_answered(
    stack: StackUnderTest, phone: Phone, viewers: aiohttp.ClientSession
) -> None:
    assert not [name for name in stack.running.env if "MAX_IN_FLIGHT" in name or "MAX_RENDITION" in name]
    gallery = await phone.create_gallery()
    (media_id,) = await phone.upload(gallery, File("a.png", "image/png", encode(quadrants(600, 400), "PNG")))
    await phone.until_ready(gallery, 1)
    made_before = await sample(phone, stack, "kappi_media_renditions_total", outcome="made")

    async def view() -> int:
        url = f"{stack.base_url}/v1/media/{media_id}/renditions/200"
        headers = {"X-Gallery-Code": gallery.code}
        async with viewers.get(url, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            return answer.status

    async def all_wait() -> None:
        assert await sample(phone, stack, "kappi_http_in_flight_requests") >= VIEWERS

    async with asyncio.TaskGroup() as group:
        with decoders_held(stack.running.note.services["media"].pid):
            views = [group.create_task(view()) for _ in range(VIEWERS)]
            await eventually(all_wait, 20)
            page = await phone.ask("GET", f"/v1/g/{gallery.code}")
            assert [item["id"] for item in page.ok()["items"]] == [media_id]
            assert not any(task.done() for task in views)
    assert {task.result() for task in views} == {302}
    assert await sample(phone, stack, "kappi_media_renditions_total", outcome="made") == made_before + 1


async def sample(phone: Phone, stack: StackUnderTest, name: str, **labels: str) -> float:
    """Returns a metric of the media service; 0 if it is not exported yet."""
    text = (await phone.ask("GET", f"{stack.ops_url('media')}/metrics")).body.decode()
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return found[0] if found else 0.0
