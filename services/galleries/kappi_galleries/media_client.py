"""The media service: it stores the pictures of posts and makes what is shown of them (ADR-0022), and knows
whether an account has room for a gallery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

import aiohttp
import msgspec
from kappi_chassis.http.edge import REQUEST_ID, TRACEPARENT
from kappi_chassis.observability import context
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import Problem, Unavailable

from kappi_galleries.domain.posts import PostId
from kappi_galleries.errors import CLAIM_REFUSALS, PICTURE_REFUSALS, ClaimsUnavailable, PicturesUnavailable

CONNECT_S = 2.0
SILENCE_S = 110.0
"""Longest silence of the media service: the largest picture takes most of it."""
RETRY_AFTER_S = 2
CLAIM_PATIENCE_S = 15.0
"""Shorter than the gateway waits for an answer."""
_BYTES, _JSON = "application/octet-stream", "application/json"

_log = get_logger(__name__)


class Pictures(Protocol):
    """Stores the picture of a post whose draft is committed.

    Raises MediaRefused, after which nothing is kept; PicturesUnavailable, after which something may be.
    """

    async def store(
        self, post_id: PostId, account_id: UUID, content: AsyncIterator[bytes], *, at_most_bytes: int | None
    ) -> None:
        """The original, as it comes. at_most_bytes: where it is known. Raises what `content` does, too."""
        ...

    async def use_item(self, post_id: PostId, account_id: UUID, media_id: UUID) -> None:
        """The picture that an item of the account's shows."""
        ...


class ClaimRoom(Protocol):
    """Room in an account's quota for a gallery that it claims."""

    async def reserve(self, gallery_id: UUID, account_id: UUID, *, accept_tier: bool) -> None:
        """Hold it for some minutes, in which the claim is to be committed. Again is the same as once.

        accept_tier: also where the account's tier withholds what viewers have now. Raises one of
        `CLAIM_REFUSALS`, after which nothing is held; ClaimsUnavailable.
        """
        ...


class MediaRefused(Exception):
    """The media service's own word that it has kept, or changed, nothing. problem: what is answered."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class _Words(NamedTuple):
    """How long the media service is waited for, and what is answered where it refuses, by its code, or does
    not answer."""

    refusals: Mapping[str, type[Problem]]
    unavailable: type[Unavailable]
    timeout: aiohttp.ClientTimeout


_OF_PICTURES = _Words(
    PICTURE_REFUSALS,
    PicturesUnavailable,
    aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=SILENCE_S),
)
_OF_CLAIMS = _Words(
    CLAIM_REFUSALS,
    ClaimsUnavailable,
    aiohttp.ClientTimeout(total=CLAIM_PATIENCE_S, connect=CONNECT_S, sock_connect=CONNECT_S),
)


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


class MediaService:
    """`Pictures` and `ClaimRoom` over HTTP. url: of the media service. headers: what it knows us by."""

    def __init__(self, url: str, *, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, headers=self._headers
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
                "PUT",
                f"posts/{post_id}/picture?{query}",
                body=body,
                content_type=_BYTES,
                words=_OF_PICTURES,
            )
        except PicturesUnavailable:
            if body.failure is not None:
                raise body.failure from None
            raise

    async def use_item(self, post_id: PostId, account_id: UUID, media_id: UUID) -> None:
        body = msgspec.json.encode({"account_id": account_id, "media_id": media_id})
        await self._ask("POST", f"posts/{post_id}/picture", body=body, content_type=_JSON, words=_OF_PICTURES)

    async def reserve(self, gallery_id: UUID, account_id: UUID, *, accept_tier: bool) -> None:
        body = msgspec.json.encode({"account_id": account_id, "accept_tier": accept_tier})
        try:
            await self._ask(
                "POST", f"galleries/{gallery_id}/claim", body=body, content_type=_JSON, words=_OF_CLAIMS
            )
        except MediaRefused as refused:
            raise refused.problem from refused

    async def _ask(
        self, method: str, target: str, *, body: bytes | _Content, content_type: str, words: _Words
    ) -> None:
        assert self._session is not None, "started before the first request"
        headers = {
            "content-type": content_type,
            REQUEST_ID.decode(): context.request_id.get(),
            TRACEPARENT.decode(): context.traceparent.get() or "",
        }
        try:
            async with self._session.request(
                method, f"{self._url}/internal/{target}", data=body, headers=headers, timeout=words.timeout
            ) as response:
                if response.status >= 300:
                    raise _refusal(response.status, await response.read(), words)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.warning("media.unavailable", error_type=type(error).__name__)
            raise words.unavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S) from error


def _refusal(status: int, body: bytes, words: _Words) -> Exception:
    try:
        told = msgspec.json.decode(body, type=_Refusal)
    except msgspec.MsgspecError:
        told = _Refusal()
    kind = words.refusals.get(told.code)
    if kind is not None:
        return MediaRefused(kind(told.detail))
    _log.warning("media.failed", status=status, code=told.code)
    return words.unavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S)
