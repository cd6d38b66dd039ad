"""Trading what a client shows for a grant (ADR-0003), and counting who guesses."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec
from aiohttp import ClientError, ClientResponse
from kappi_chassis.observability import context

from kappi_gateway import metrics
from kappi_gateway.errors import (
    CredentialsMissing,
    GalleryKeyMissing,
    GalleryNotFound,
    GrantRefused,
    UpstreamUnavailable,
)
from kappi_gateway.grants import GrantCache, GrantKey, KeptGrant
from kappi_gateway.headers import GALLERY_CODE, GALLERY_KEY, GALLERY_PASSWORD, RawHeaders, first, text
from kappi_gateway.limits import GuessLimit
from kappi_gateway.routes import Credential, Service
from kappi_gateway.upstream import Upstreams

MARGIN_S = 10.0
"""A grant is not reused in its last seconds: it has to live until the service has looked at it."""

# Looking up a metric's child costs more than counting; these two are counted with every request.
_VIEWS_CACHED = metrics.GRANTS.labels("view", "cached")
_KEYS_CACHED = metrics.GRANTS.labels("key", "cached")

_CODE = re.compile(r"[a-z0-9]{1,64}")
_REFUSAL_HEADERS = frozenset({b"content-type", b"retry-after", b"www-authenticate"})


class _Answer(msgspec.Struct):
    grant: str
    expires_in: float
    gallery_id: UUID


_decoder = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant, and whether it came from the cache (then a refusal may only mean that it got old)."""

    key: GrantKey
    grant: KeptGrant
    cached: bool


def normal_code(raw: bytes) -> str | None:
    """A short code as its gallery knows it: trimmed, lower-case. None for what cannot be one.

    raw: percent-encoded, as in a path.
    """
    try:
        code = unquote_to_bytes(raw).decode().strip().lower()
    except UnicodeDecodeError:
        return None
    return code if _CODE.fullmatch(code) else None


class Credentials:
    """lifetime: how long a grant is reused at most. secret: random per process, keys the hashes under
    which passwords and access keys are remembered."""

    def __init__(
        self,
        upstreams: Upstreams,
        *,
        cache: GrantCache,
        guesses: GuessLimit,
        lifetime: timedelta,
        secret: bytes,
    ) -> None:
        self._upstreams = upstreams
        self._cache = cache
        self._guesses = guesses
        self._lifetime_s = lifetime.total_seconds()
        self._secret = secret

    async def obtain(
        self, rule: Credential, headers: RawHeaders, *, code: bytes | None, address: str
    ) -> Granted:
        """code: from the path, where the rule says so. address: who pays for a code that does not exist.

        Raises GalleryKeyMissing, CredentialsMissing, GalleryNotFound, TooManyGuesses, GrantRefused,
        UpstreamUnavailable, UpstreamTimeout.
        """
        if rule is Credential.CODE_IN_PATH:
            assert code is not None
            return await self._by_code(code, first(headers, GALLERY_PASSWORD), address)
        access_key = first(headers, GALLERY_KEY)
        if access_key:
            return await self._by_key(text(access_key))
        if rule is Credential.KEY:
            raise GalleryKeyMissing("Send the access key in X-Gallery-Key.")
        shown = first(headers, GALLERY_CODE)
        if not shown:
            raise CredentialsMissing("Send X-Gallery-Key, or the gallery's code in X-Gallery-Code.")
        return await self._by_code(shown, first(headers, GALLERY_PASSWORD), address)

    def drop(self, granted: Granted) -> None:
        """The service did not accept it."""
        self._cache.drop(granted.key, granted.grant)

    def drop_gallery(self, gallery_id: UUID) -> None:
        """The gallery has changed."""
        self._cache.drop_gallery(gallery_id)

    async def _by_code(self, raw_code: bytes, raw_password: bytes | None, address: str) -> Granted:
        self._guesses.check(address)
        code = normal_code(raw_code)
        if code is None:
            self._guesses.spend(address)
            raise GalleryNotFound
        password = None if raw_password is None else text(raw_password)
        key = GrantKey("view", code, b"" if password is None else self._digest(password))
        kept = self._cache.find(key)
        if kept is not None:
            _VIEWS_CACHED.inc()
            return Granted(key, kept, cached=True)
        question = {"code": code} if password is None else {"code": code, "password": password}
        ask = self._paying(address, key, lambda: self._ask("view", question))
        return Granted(key, await ask(), cached=False)

    def _paying(
        self, address: str, key: GrantKey, ask: Callable[[], Any]
    ) -> Callable[[], Awaitable[KeptGrant]]:
        """Whoever asks pays first and is refunded for a code that exists: many guesses at once must not
        all pass the check. Those who only wait for the same answer pay when it is no."""

        async def paying() -> KeptGrant:
            leads = not self._cache.is_being_asked(key)
            if leads:
                self._guesses.spend(address)
            try:
                grant = await self._cache.obtain(key, ask)
            except (GalleryNotFound, GrantRefused):
                if not leads:
                    self._guesses.spend(address)
                raise
            except UpstreamUnavailable:
                if leads:
                    self._guesses.refund(address)
                raise
            if leads:
                self._guesses.refund(address)
            return grant

        return paying

    async def _by_key(self, access_key: str) -> Granted:
        key = GrantKey("key", "", self._digest(access_key))
        kept = self._cache.find(key)
        if kept is not None:
            _KEYS_CACHED.inc()
            return Granted(key, kept, cached=True)
        grant = await self._cache.obtain(key, lambda: self._ask("key", {"access_key": access_key}))
        return Granted(key, grant, cached=False)

    async def _ask(self, kind: str, question: dict[str, str]) -> KeptGrant:
        response = await self._upstreams.send(
            Service.GALLERIES,
            "POST",
            f"/internal/grants/{kind}",
            headers=[
                ("content-type", "application/json"),
                ("x-request-id", context.request_id.get()),
                ("traceparent", context.traceparent.get() or ""),
            ],
            body=msgspec.json.encode(question),
        )
        body = await _whole(response)
        if response.status == 200:
            metrics.GRANTS.labels(kind, "asked").inc()
            return self._read(body)
        if not 400 <= response.status < 500:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        metrics.GRANTS.labels(kind, "refused").inc()
        if kind == "view" and response.status == 404:
            raise GalleryNotFound
        raise GrantRefused(response.status, body, _refusal_headers(response))

    def _read(self, body: bytes) -> KeptGrant:
        try:
            answer = _decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1) from error
        reusable_s = min(self._lifetime_s, answer.expires_in - MARGIN_S)
        return KeptGrant(token=answer.grant, gallery_id=answer.gallery_id, reusable_s=reusable_s)

    def _digest(self, secret_text: str) -> bytes:
        return blake2b(secret_text.encode(), key=self._secret, digest_size=24).digest()


async def _whole(response: ClientResponse) -> bytes:
    try:
        return await response.read()
    except (ClientError, TimeoutError) as error:
        raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1) from error
    finally:
        response.release()


def _refusal_headers(response: ClientResponse) -> tuple[tuple[bytes, bytes], ...]:
    lowered = ((name.lower(), value) for name, value in response.raw_headers)
    return tuple((name, value) for name, value in lowered if name in _REFUSAL_HEADERS)
