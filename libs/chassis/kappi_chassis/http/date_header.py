"""The `Date` of an answer (RFC 9110, 6.6.1): a client with a wrong clock needs it for the life of URLs."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from email.utils import formatdate
from functools import lru_cache

from kappi_chassis.http.edge import App, Message, Receive, Scope, Send


def date_now() -> bytes:
    """Returns the present value of `Date`."""
    return _date_of(int(time.time()))


def dated(app: App) -> App:
    """Returns the app with a `Date` in each answer, the time at which the answer begins."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        def send_dated(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"date", date_now())]
            return send(message)

        await app(scope, receive, send_dated)

    return answering


@lru_cache(maxsize=2)
def _date_of(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
