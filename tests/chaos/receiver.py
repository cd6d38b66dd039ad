"""A receiver of webhooks, in the process of the test."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(slots=True)
class Receiver:
    """told: ids of the deliveries about a comment, by its id. A repeated call has the same id.

    pause_s: before each answer.
    """

    url: str = ""
    pause_s: float = 0.0
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def handle(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.pause_s)
        event = await request.json()
        self.told[event["data"]["comment_id"]].add(request.headers["webhook-id"])
        return web.Response(status=204)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Yields a receiver that listens."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/kappi", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/kappi"
        yield receiver
    finally:
        await runner.cleanup()
