"""Verifying tokens against a published key set, cached, so that no request waits for another service."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import msgspec

from kappi_chassis.auth.keys import ALGORITHM
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import Unavailable

FRESH_S = 300.0
MIN_REFRESH_INTERVAL_S = 5.0
FETCH_TIMEOUT_S = 3.0
LEEWAY_S = 2

_log = get_logger(__name__)

Fetch = Callable[[], Awaitable[bytes]]


class TokenInvalid(Exception):
    """The token is malformed, expired, for someone else, or not signed by a key we trust."""


class KeysUnavailable(Unavailable):
    code, title = "keys_unavailable", "Signing keys cannot be fetched at the moment"


def http_fetch(url: str) -> Fetch:
    """Fetch a JWKS over HTTP: rare, so the standard library in a thread is enough."""

    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as response:  # noqa: S310 - a setting, not input
            body: bytes = response.read(1 << 20)
            return body

    return lambda: asyncio.to_thread(get)


class JwksSource:
    """A key set, refetched when it is old or a token names a key it lacks (rotation).

    While the issuer is down the last known keys stay valid: verification must not depend on its uptime.
    """

    def __init__(self, fetch: Fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._refreshing = asyncio.Lock()

    def cached(self, kid: str) -> jwt.PyJWK | None:
        """The key, if known and fresh; never waits."""
        if self._monotonic() - self._fetched_at > FRESH_S:
            return None
        return self._keys.get(kid)

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """The key, refetching at most every few seconds. Raises KeysUnavailable before the first success."""
        if (known := self.cached(kid)) is not None:
            return known
        async with self._refreshing:
            if self.cached(kid) is None and self._monotonic() - self._tried_at > MIN_REFRESH_INTERVAL_S:
                await self._refresh()
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        self._tried_at = self._monotonic()
        try:
            document = msgspec.json.decode(await self._fetch())
            keys = [jwt.PyJWK(entry, algorithm=ALGORITHM) for entry in document["keys"]]
        except (OSError, msgspec.MsgspecError, jwt.PyJWTError, KeyError, TypeError) as error:
            _log.warning("jwks.fetch_failed", error=str(error), error_type=type(error).__name__)
            if not self._keys:
                self._tried_at = float("-inf")
                raise KeysUnavailable(retry_after_s=1) from error
            return
        self._keys = {key.key_id: key for key in keys if key.key_id}
        self._fetched_at = self._monotonic()


class TokenVerifier:
    """Checks signature, algorithm (EdDSA and nothing else), `iss`, `aud`, `exp`."""

    def __init__(self, source: JwksSource, *, issuer: str, audience: str) -> None:
        self._source = source
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims. Raises TokenInvalid, KeysUnavailable."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise TokenInvalid("malformed") from error
        if header.get("alg") != ALGORITHM or not isinstance(header.get("kid"), str):
            raise TokenInvalid("algorithm or key id not accepted")
        key = await self._source.key(header["kid"])
        if key is None:
            raise TokenInvalid("signed by an unknown key")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise TokenInvalid(type(error).__name__) from error
        return claims
