"""Waiting for clients that do not read: not for long, and for few of one address at a time.

Whoever asks and does not read holds one of the places that all requests share, at its every answer: also an
error, or one that another request on the same connection is due.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from kappi_chassis.http.edge import LASTS, App, Message, Receive, Scope, Send
from kappi_chassis.problems import TooManyRequests

from kappi_gateway import metrics
from kappi_gateway.body import GRACE_S
from kappi_gateway.client_address import ClientAddresses
from kappi_gateway.errors import ClientStalled
from kappi_gateway.limits import ConcurrencyLimit
from kappi_gateway.passthrough import leads_to_store


def with_slow_client_limits(
    app: App, *, addresses: ClientAddresses, slow: ConcurrencyLimit, silence_s: float
) -> App:
    """The app, whose `send` raises ClientStalled after a silence, or where too many of an address are waited
    for. Downloads, which last on any slow line, need no place: theirs are counted apart."""

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def wait_and_send(message: Message) -> None:
            downloads = LASTS in scope or leads_to_store(scope["raw_path"])
            with nullcontext() if downloads else slow.held(addresses.of_request(scope)):
                async with asyncio.timeout(silence_s):
                    await send(message)

        async def send_in_time(message: Message) -> None:
            # A server waits, if at all, before it writes: what is given up here can be sent again.
            try:
                async with asyncio.timeout(GRACE_S):
                    await send(message)
                    return
            except TimeoutError:
                pass
            try:
                await wait_and_send(message)
            except (TimeoutError, TooManyRequests) as error:
                metrics.CLIENTS_STALLED.inc()
                raise ClientStalled from error

        await app(scope, receive, send_in_time)

    return patient
