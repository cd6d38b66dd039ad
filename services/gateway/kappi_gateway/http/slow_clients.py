"""Limits the waiting for clients that do not read: in time, and in number per address.

A client that sends requests and does not read the answers holds a place that all requests share. This applies
to every answer, also to an error and to an answer on a connection with further requests.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from kappi_chassis.http.edge import LASTS, App, Message, Receive, Scope, Send
from kappi_chassis.problems import TooManyRequests

from kappi_gateway import metrics
from kappi_gateway.errors import ClientStalled
from kappi_gateway.http.body import GRACE_S
from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.routes import leads_to_store


def with_slow_client_limits(
    app: App, *, addresses: ClientAddresses, slow: ConcurrencyLimit, silence_s: float
) -> App:
    """Returns the app with a `send` that raises ClientStalled.

    It is raised after a silence, or if too many clients of the address are waited for. Downloads may last on
    any slow line and need no place here: they have their own limits.
    """

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
            # A server waits before it writes, if at all, so a send that timed out here can be repeated.
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
