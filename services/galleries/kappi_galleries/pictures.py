"""The media service, which stores the pictures of posts and makes what is shown of them (ADR-0022)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID

import aiohttp
import msgspec
from kappi_chassis.http.edge import REQUEST_ID, TRACEPARENT
from kappi_chassis.observability import context
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import Problem

from kappi_galleries.errors import PICTURE_REFUSALS, PicturesUnavailable
from kappi_galleries.posts_domain import PostId

CONNECT_S = 2.0
SILENCE_S = 110.0
"""Longest silence of the media service: the largest picture takes most of it."""
RETRY_AFTER_S = 2
_BYTES = "application/octet-stream"

_log = get_logger(__name__)


class Pictures(Protocol):
    """Stores the picture of a post whose draft is committed.

    Raises PictureRefused, after which nothing is kept; PicturesUnavailable, after which something may be.
    """

    async def store(
        self, post_id: PostId, account_id: UUID, content: AsyncIterator[bytes], *, at_most_bytes: int | None
    ) -> None:
        """The original, as it comes. at_most_bytes: where it is known. Raises what `content` does, too."""
        ...

    async def use_item(self, post_id: PostId, account_id: UUID, media_id: UUID) -> None:
        """The picture that an item of the account's shows."""
        ...


class PictureRefused(Exception):
    """The media service's own word that it has kept nothing. problem: what is answered."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class _Refusal(msgspec.Struct):
    code: str = ""
    detail: str | None = None


class _Content:
    """A body that remembers why it ended early: the client library hides what its body raised."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as failure:  # handed to the caller by `failure`
            self.failure = failure
            raise


class MediaPictures:
    """`Pictures` over HTTP. url: of the media service."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=SILENCE_S
        )
        self._session = aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def store(
        self, post_id: PostId, account_id: UUID, content: AsyncIterator[bytes], *, at_most_bytes: int | None
    ) -> None:
        query = f"account_id={account_id}"
        if at_most_bytes is not None:
            query += f"&at_most_bytes={at_most_bytes}"
        body = _Content(content)
        try:
            await self._ask(
                "PUT", f"{post_id}/picture?{query}", body=body, content_type="application/octet-stream"
            )
        except PicturesUnavailable:
            if body.failure is not None:
                raise body.failure from None
            raise

    async def use_item(self, post_id: PostId, account_id: UUID, media_id: UUID) -> None:
        body = msgspec.json.encode({"account_id": account_id, "media_id": media_id})
        await self._ask("POST", f"{post_id}/picture", body=body, content_type="application/json")

    async def _ask(self, method: str, target: str, *, body: bytes | _Content, content_type: str) -> None:
        assert self._session is not None, "started before the first request"
        headers = {
            "content-type": content_type,
            REQUEST_ID.decode(): context.request_id.get(),
            TRACEPARENT.decode(): context.traceparent.get() or "",
        }
        try:
            async with self._session.request(
                method, f"{self._url}/internal/posts/{target}", data=body, headers=headers
            ) as response:
                if response.status >= 300:
                    raise _refusal(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.warning("pictures.unavailable", error_type=type(error).__name__)
            raise PicturesUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S) from error


def _refusal(status: int, body: bytes) -> Exception:
    try:
        told = msgspec.json.decode(body, type=_Refusal)
    except msgspec.MsgspecError:
        told = _Refusal()
    kind = PICTURE_REFUSALS.get(told.code)
    if kind is not None:
        return PictureRefused(kind(told.detail))
    _log.warning("pictures.failed", status=status, code=told.code)
    return PicturesUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S)
