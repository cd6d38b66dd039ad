"""Verification of tokens with a published key set, cached so that no request waits for another service."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from http.client import HTTPException
from typing import Any

import jwt
import msgspec

from kappi_chassis.auth.keys import ALGORITHM
from kappi_chassis.clock import Monotonic
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import Unavailable

FRESH_S = 300.0
MIN_REFRESH_INTERVAL_S = 5.0
FETCH_TIMEOUT_S = 3.0
LEEWAY_S = 2

_log = get_logger(__name__)

Fetch = Callable[[], Awaitable[bytes]]


class TokenInvalid(Exception):
    """The token is malformed, expired, for another audience, or not signed by a trusted key."""


class KeysUnavailable(Unavailable):
    code, title = "keys_unavailable", "Signing keys cannot be fetched at the moment"


def http_fetch(url: str, *, headers: Mapping[str, str] | None = None) -> Fetch:
    """Returns a function that fetches a JWKS over HTTP.

    Fetches are rare, so the standard library in a thread is enough.
    """
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - a setting, not input

    def get() -> bytes:
        with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as response:  # noqa: S310 - see above
            body: bytes = response.read(1 << 20)
            return body

    return lambda: asyncio.to_thread(get)


class JwksSource:
    """A key set, refetched when it is old or when a token names a missing key (rotation).

    A known key is used at once, however old, and the set is refetched in the background: no request waits for
    the issuer, and none fails while it is down. Only a token with an unknown key waits. All tokens with
    invented keys together cause one fetch every few seconds.
    """

    def __init__(self, fetch: Fetch, *, monotonic: Monotonic = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """Returns the key; None if the issuer has no such key.

        Raises KeysUnavailable before the first success.
        """
        known = self._keys.get(kid)
        if known is None:
            if refreshing := self._refresh():
                await asyncio.shield(refreshing)  # other requests wait for it, too
            known = self._keys.get(kid)
        elif self._monotonic() - self._fetched_at > FRESH_S:
            self._refresh()
        if not self._keys:
            raise KeysUnavailable(retry_after_s=1)
        return known

    def _refresh(self) -> asyncio.Task[None] | None:
        """Returns the running fetch, or starts one unless the last is too recent."""
        if self._refreshing is not None:
            return self._refreshing
        if self._keys and self._monotonic() - self._tried_at <= MIN_REFRESH_INTERVAL_S:
            return None
        self._tried_at = self._monotonic()
        self._refreshing = asyncio.create_task(self._fetch_keys(), name="jwks")
        self._refreshing.add_done_callback(self._refreshed)
        return self._refreshing

    def _refreshed(self, _: asyncio.Task[None]) -> None:
        self._refreshing = None

    async def _fetch_keys(self) -> None:
        try:
            entries = msgspec.json.decode(await self._fetch(), type=_KeySet).keys
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            _log.warning("jwks.fetch_failed", error=str(error), error_type=type(error).__name__)
            return
        keys = [key for entry in entries if (key := _usable(entry)) is not None]
        if not keys:
            _log.warning("jwks.no_usable_key", entries=len(entries))
            return
        self._keys = {key.key_id: key for key in keys if key.key_id}
        self._fetched_at = self._monotonic()


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """Returns None for keys of other kinds, which an issuer may publish as well (RFC 7517, section 5)."""
    if entry.get("kty") != "OKP" or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
        return None
    try:
        return jwt.PyJWK(entry, algorithm=ALGORITHM)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


class TokenVerifier:
    """Checks signature, algorithm (EdDSA only), `iss`, `aud`, `exp`."""

    def __init__(self, source: JwksSource, *, issuer: str, audience: str) -> None:
        self._source = source
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str) -> dict[str, Any]:
        """Returns the claims. Raises TokenInvalid, KeysUnavailable."""
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
