"""Reads the rows of another service for a comparison."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final, TypeVar
from uuid import UUID

import msgspec
from kappi_contracts.reconciliation import PATH, Named

Row = TypeVar("Row", bound=msgspec.Struct)

TIMEOUT_S: Final = 30.0
MAX_ANSWER_BYTES: Final = 8 << 20


class PeerAway(ConnectionError):
    """The other service does not answer; it may just be starting."""


class Peer:
    """Calls one other service. Pages are rare, so the standard library in a thread is enough.

    url: of the service, without a path. headers: the deployment's secret. Every call raises PeerAway while
    the service is away, OSError for an answer of an error, MsgspecError for an answer of another form.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = dict(headers)

    async def page(self, collection: str, kind: type[Row], *, after: UUID, limit: int) -> list[Row]:
        """Returns up to `limit` rows behind the id `after`, in the order of their ids."""
        target = f"{self._url}{PATH}/{collection}?after={after}&limit={limit}"
        request = urllib.request.Request(target, headers=self._headers)  # noqa: S310 - a setting, not input
        return msgspec.json.decode(await self._ask(request), type=list[kind])  # type: ignore[valid-type]

    async def still_named(self, asked: Named) -> Named:
        """Returns those of the ids that the service still names."""
        headers = {**self._headers, "content-type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - a setting, not input
            f"{self._url}{PATH}/named", data=msgspec.json.encode(asked), headers=headers, method="POST"
        )
        return msgspec.json.decode(await self._ask(request), type=Named)

    async def _ask(self, request: urllib.request.Request) -> bytes:
        def ask() -> bytes:
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - see above
                    body: bytes = answer.read(MAX_ANSWER_BYTES)
                    return body
            except urllib.error.HTTPError:
                raise
            except OSError as error:
                raise PeerAway(f"{request.host}: {error}") from error

        return await asyncio.to_thread(ask)
