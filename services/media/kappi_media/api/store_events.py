"""Receives the notifications of the store, or of the function beside it. The route is not reachable from
outside.
"""

from __future__ import annotations

import base64
import binascii
import hmac

import msgspec
from fastapi import FastAPI
from kappi_chassis.http.responses import json_response
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kappi_media import metrics
from kappi_media.api.reading import read_body
from kappi_media.domain.store_events import MAX_MESSAGE_BYTES, UnreadableStoreEvent, read_message
from kappi_media.errors import StoreEventUnreadable, StoreTokenWrong
from kappi_media.use_cases.store_notifications import CompleteArrivals

PATH = "/internal/store-events"


class StoreEventApi:
    """`POST /internal/store-events`.

    token: the sender's credential, as a bearer token, or as the password of Basic authentication for stores
    that accept only a URL in their configuration.
    """

    def __init__(self, complete: CompleteArrivals, *, token: str) -> None:
        self._complete = complete
        self._token = token.encode()

    def register(self, app: FastAPI) -> None:
        app.router.routes.append(Route(PATH, self.hear, methods=["POST"]))

    async def hear(self, request: Request) -> Response:
        """Answers 200 with the number of records per outcome. After any other answer the message may be sent
        again.
        """
        request.scope["kappi.route"] = PATH  # FastAPI's router records no template of a plain route
        self._check(request.headers.get("authorization", ""))
        body = await read_body(request, max_bytes=MAX_MESSAGE_BYTES)
        try:
            message = read_message(body)
        except UnreadableStoreEvent as error:
            metrics.STORE_EVENTS.labels("webhook", "unreadable").inc()
            raise StoreEventUnreadable(f"The message cannot be read: {error}.") from error
        metrics.STORE_EVENTS.labels("webhook", "ignored").inc(message.ignored)
        outcomes = await self._complete(message.arrivals, way="webhook")
        counts: dict[str, int] = {"ignored": message.ignored, **dict(outcomes.items())}
        return json_response(msgspec.json.encode({name: n for name, n in counts.items() if n}))

    def _check(self, authorization: str) -> None:
        if not hmac.compare_digest(_shown(authorization), self._token):
            raise StoreTokenWrong("Send the token in Authorization: Bearer.")


def _shown(authorization: str) -> bytes:
    """Returns the token that the caller sent; empty, which is never a valid token, when there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
