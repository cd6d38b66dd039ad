"""Client of the media service, which stores and renders the pictures of posts (ADR-0022), decides whether an
account has room for a gallery, and knows which items a gallery has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

import aiohttp
import msgspec
from kappi_chassis.http.client_spans import client_spans
from kappi_chassis.http.edge import REQUEST_ID, TRACEPARENT
from kappi_chassis.observability import context
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import Problem, Unavailable
from yarl import URL

from kappi_galleries.domain.posts import PostId
from kappi_galleries.errors import (
    CLAIM_REFUSALS,
    COVER_REFUSALS,
    PICTURE_REFUSALS,
    ClaimsUnavailable,
    CoverUnavailable,
    PicturesUnavailable,
)

CONNECT_S = 2.0
SILENCE_S = 110.0
"""Longest silence of the media service. The largest picture takes most of it."""
RETRY_AFTER_S = 2
CLAIM_TIMEOUT_S = 15.0
"""Shorter than the gateway's timeout for an answer."""
COVER_TIMEOUT_S = 5.0
_BYTES, _JSON = "application/octet-stream", "application/json"

_log = get_logger(__name__)


class Pictures(Protocol):
    """Stores the picture of a post whose draft is committed.

    Raises MediaRefused when nothing is kept, and PicturesUnavailable when something may be kept.
    """

    async def store(
        self, post_id: PostId, account_id: UUID, content: AsyncIterator[bytes], *, at_most_bytes: int | None
    ) -> None:
        """Store the original unchanged. at_most_bytes: an upper bound of its size, where known.

        Raises also the failures of `content`.
        """
        ...

    async def use_item(self, post_id: PostId, account_id: UUID, media_id: UUID) -> None:
        """Use the picture of one of the account's items."""
        ...


class ClaimRoom(Protocol):
    """Reserves room in an account's quota for a gallery that it claims."""

    async def reserve(self, gallery_id: UUID, account_id: UUID, *, accept_tier: bool) -> None:
        """Reserve the room for some minutes, in which the claim must be committed. Repeating it has no
        further effect.

        accept_tier: reserve even where the account's tier withholds what viewers have now. Raises one of
        `CLAIM_REFUSALS`, in which case nothing is reserved, and ClaimsUnavailable.
        """
        ...


class ReadyItems(Protocol):
    """Knows the items of galleries."""

    async def version_of_ready(self, gallery_id: UUID, media_id: UUID) -> int:
        """Returns the version of an item: the sequence of its last event, if that was told already.

        Raises MediaNotFound and MediaNotReady if the gallery has no such item, or it is not ready, and
        CoverUnavailable.
        """
        ...


class MediaRefused(Exception):
    """The media service stated that it kept or changed nothing. problem: the failure for the client."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class _Words(NamedTuple):
    """The timeout of a call to the media service, the failures it refuses with, by code, and the failure for
    no answer.
    """

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
    aiohttp.ClientTimeout(total=CLAIM_TIMEOUT_S, connect=CONNECT_S, sock_connect=CONNECT_S),
)
_OF_COVERS = _Words(
    COVER_REFUSALS,
    CoverUnavailable,
    aiohttp.ClientTimeout(total=COVER_TIMEOUT_S, connect=CONNECT_S, sock_connect=CONNECT_S),
)


class _ReadyItem(msgspec.Struct):
    version: int


class _Refusal(msgspec.Struct):
    code: str = ""
    detail: str | None = None


class _Content:
    """A request body that stores the exception it ended with, because the HTTP client hides it."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as failure:  # read by `store` from `failure`
            self.failure = failure
            raise


class MediaService:
    """`Pictures`, `ClaimRoom` and `ReadyItems` over HTTP. url: the media service's address. headers: those
    that identify this service.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        address = URL(self._url)
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers=self._headers,
            trace_configs=client_spans(aiohttp.TraceConfig(), {f"{address.host}:{address.port}": "media"}),
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

    async def version_of_ready(self, gallery_id: UUID, media_id: UUID) -> int:
        try:
            body = await self._ask("GET", f"galleries/{gallery_id}/ready/{media_id}", words=_OF_COVERS)
            return msgspec.json.decode(body, type=_ReadyItem).version
        except MediaRefused as refused:
            raise refused.problem from refused
        except msgspec.MsgspecError as error:
            raise CoverUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S) from error

    async def _ask(
        self,
        method: str,
        target: str,
        *,
        words: _Words,
        body: bytes | _Content | None = None,
        content_type: str = _JSON,
    ) -> bytes:
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
                answer = await response.read()
                if response.status >= 300:
                    raise _refusal(response.status, answer, words)
                return answer
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
