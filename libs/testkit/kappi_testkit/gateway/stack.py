"""A whole gateway between a raw client and fake services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from kappi_chassis.auth import SigningKey, jwks_document
from kappi_gateway.auth.grant_cache import GrantCache
from kappi_gateway.live.streams import LiveStreams
from kappi_gateway.upstream import Upstreams

from kappi_testkit.auth import access_token
from kappi_testkit.gateway.fake_services import FakeService, Reply, Seen
from kappi_testkit.gateway.raw_http import RawAnswer, exchange, request

ACCOUNT_ID = UUID("019c0000-0000-7000-8000-0000000000aa")


class ManualTime:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class Stack:
    """A gateway between a client and fake services."""

    port: int
    identity: FakeService
    galleries: FakeService
    media: FakeService
    store: FakeService
    cache: GrantCache
    time: ManualTime
    upstreams: Upstreams
    live: LiveStreams
    issuer: SigningKey = field(default_factory=SigningKey.generate)

    async def ask(self, method: str, target: str, *lines: str, body: bytes = b"") -> RawAnswer:
        return await exchange(self.port, request(method, target, *lines, body=body))

    def token(
        self, *, key: SigningKey | None = None, lasts: timedelta = timedelta(minutes=10), **other: Any
    ) -> str:
        """Returns an access token as the identity service would sign it.

        key: another signer. other: claims.
        """
        now = datetime.now(UTC)
        issued, expires = now - timedelta(minutes=1), now + lasts
        claims = {"iat": int(issued.timestamp()), "exp": int(expires.timestamp()), **other}
        return access_token(key or self.issuer, ACCOUNT_ID, claims)

    def bearer(self, **other: Any) -> str:
        """Returns a header line with a token of `token`."""
        return f"Authorization: Bearer {self.token(**other)}"

    def publish_keys(self, *keys: SigningKey) -> None:
        """Makes the identity service answer every request with these keys."""
        self.identity.always(Reply(body=msgspec.json.encode(jwks_document(*keys))))

    def grants_asked(self) -> list[Seen]:
        return [seen for seen in self.galleries.seen if seen.raw_path.startswith(b"/internal/grants/")]


StackFactory = Callable[..., Awaitable[Stack]]
