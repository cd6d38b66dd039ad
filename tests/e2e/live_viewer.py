"""A viewer's live stream of a gallery."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.e2e.phone import Gallery
from tests.e2e.stacks import StackUnderTest

DEADLINE_S = 60


class Told:
    """Reads the events of a stream. last_id: the last one that came."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """The kind and the data of the next event; an empty kind at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE_S):
            while line := (await self._content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                self.last_id = fields.get("id", self.last_id)
                if "event" in fields:
                    return fields["event"], json.loads(fields["data"])
                fields = {}
        return "", None

    async def next_of(self, kind: str) -> Any:
        """The data of the next event of a kind. An item may be told late, after the stream has begun."""
        while True:
            told, data = await self.next()
            assert told, f"the stream ended before {kind}"
            if told == kind:
                return data


@asynccontextmanager
async def watching(
    stack: StackUnderTest, gallery: Gallery, *, last_id: str = "", **headers: str
) -> AsyncIterator[Told]:
    if last_id:
        headers["Last-Event-ID"] = last_id
    url = f"{stack.base_url}/v1/g/{gallery.code}/live"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Told(answer.content)
