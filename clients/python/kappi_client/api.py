"""Calls of the HTTP API, repeated while the service does not answer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from kappi_client.errors import ApiError, Unreachable
from kappi_client.retry import ATTEMPTS, backoff

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_JSON = "application/json"
_TRY_AGAIN = {429, 502, 503, 504}
UNREACHABLE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError, OSError)

Authorization = Callable[[], Awaitable[Mapping[str, str]]]


class Api:
    """The API of one deployment, as an async context.

    base_url: without a final slash. timeout_s: seconds for which a call is repeated at least while the
    service does not answer. authorization: returns headers for each call, since access tokens last minutes.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int = 8,
        timeout_s: float = 0.0,
        authorization: Authorization | None = None,
    ) -> None:
        self.base_url = base_url
        self._authorization = authorization
        self._connections = connections
        self.timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            auto_decompress=True,
            headers={"User-Agent": "kappi"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session for downloads from the object store."""
        if self._session is None:
            raise RuntimeError("Api is an async context")
        return self._session

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """Returns the answer's JSON, or None. A POST needs an Idempotency-Key, since calls are repeated.

        Raises ApiError, Unreachable and what `authorization` raises.
        """
        give_up_at = time.monotonic() + self.timeout_s
        for attempt in itertools.count(1):
            last = attempt >= ATTEMPTS and time.monotonic() >= give_up_at
            sent = {**(await self._authorization() if self._authorization else {}), **(headers or {})}
            try:
                async with self.session.request(
                    method, self.base_url + path, json=json, data=form, headers=sent, params=params
                ) as answer:
                    if answer.status < 400:
                        return await answer.json() if answer.content_type == _JSON else None
                    pause_s = _retry_after(answer.headers)
                    error = ApiError(answer.status, await _document(answer), retry_after_s=pause_s)
            except aiohttp.InvalidURL as bad:
                raise Unreachable(f"{self.base_url} is no address: look at --url and KAPPI_URL") from bad
            except UNREACHABLE as failure:
                if last:
                    raise Unreachable(
                        f"{self.base_url} does not answer ({failure}): look at the address and the network"
                    ) from failure
                pause_s = None
            else:
                if error.status not in _TRY_AGAIN or last:
                    raise error
            await backoff(attempt, at_least_s=pause_s)
        raise AssertionError("unreachable")


async def _document(answer: aiohttp.ClientResponse) -> Mapping[str, Any]:
    try:
        document = await answer.json(content_type=None)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
