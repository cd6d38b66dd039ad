"""Access tokens of accounts: their account, and the grants of its galleries that they are exchanged for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing, AccountVerifier, bearer_token
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.clock import Clock
from kappi_chassis.problems import NotFound
from kappi_contracts.accounts import AccountClaims, Role

from kappi_gateway import metrics
from kappi_gateway.auth.gallery_lookup import GalleryLookup
from kappi_gateway.auth.grant_cache import GrantCache, Granted, GrantKey, KeptGrant, SecretDigests
from kappi_gateway.auth.grant_client import GrantClient
from kappi_gateway.errors import (
    GalleryNotFound,
    GrantRefused,
    HeaderUnreadable,
    LinkNotFound,
    MediaNotFound,
    UploadNotFound,
)
from kappi_gateway.http.headers import AUTHORIZATION, RawHeaders, first, text

GALLERIES = "galleries"
OWNER: Final = "owner"
ROLE_TIMEOUT_S = 0.05
_OWNERS_CACHED = metrics.GRANTS.labels("owner", "cached")
_MISSING: Mapping[str, type[NotFound]] = {
    GALLERIES: GalleryNotFound,
    "media": MediaNotFound,
    "uploads": UploadNotFound,
    "links": LinkNotFound,
}


class OwnerGrants:
    """Checks the token itself first, so that a bad token costs a signature check and no request."""

    def __init__(
        self,
        verifier: AccountVerifier,
        *,
        grant_client: GrantClient,
        gallery_lookup: GalleryLookup,
        cache: GrantCache,
        digests: SecretDigests,
        clock: Clock,
    ) -> None:
        self._verifier = verifier
        self._grant_client = grant_client
        self._gallery_lookup = gallery_lookup
        self._cache = cache
        self._digests = digests
        self._clock = clock

    async def account_of(self, headers: RawHeaders) -> UUID | None:
        """Returns the account of the client's token, None without one.

        Raises AccessTokenInvalid, KeysUnavailable.
        """
        token = bearer(headers)
        return None if token is None else (await self._verifier.open(token)).account_id

    async def role_of(self, headers: RawHeaders) -> Role | None:
        """Returns the role in the client's token, None without a valid one.

        A token seen before costs a lookup in memory. If keys must be fetched, a view waits for them only
        briefly and then counts as one without a token.
        """
        try:
            token = bearer(headers)
            if token is None:
                return None
            async with asyncio.timeout(ROLE_TIMEOUT_S):
                return (await self._verifier.open(token)).role
        except (AccessTokenInvalid, HeaderUnreadable, KeysUnavailable, TimeoutError):
            return None

    async def obtain(self, token: str, *, collection: str, thing_id: str) -> Granted:
        """Returns a manage grant of the gallery that is the thing or contains it.

        collection: the kind of `thing_id`, as in the path. Raises AccessTokenInvalid, KeysUnavailable; the
        collection's own NotFound, the same for an unknown thing and for one of another account; GrantRefused,
        UpstreamUnavailable, UpstreamTimeout.
        """
        claims = await self._verifier.open(token)
        tried = None
        while (gallery_id := await self._gallery_of(collection, thing_id)) not in {None, tried}:
            tried = gallery_id
            try:
                return await self._obtain(token, claims, gallery_id)
            except GrantRefused as refused:
                if refused.status != NotFound.status:
                    raise
            # The remembered gallery may have been deleted meanwhile, and the thing moved to another.
            self.forget_place(collection=collection, thing_id=thing_id)
        raise _MISSING[collection]

    async def _obtain(self, token: str, claims: AccountClaims, gallery_id: UUID) -> Granted:
        key = GrantKey(OWNER, str(gallery_id), self._digests(token))
        kept = self._cache.find(key)
        if kept is not None:
            _OWNERS_CACHED.inc()
            return Granted(key, kept, cached=True)
        grant = await self._cache.obtain(key, lambda: self._ask(token, claims, gallery_id))
        return Granted(key, grant, cached=False)

    def forget_place(self, *, collection: str, thing_id: str) -> bool:
        """Forgets the thing's gallery, so that the next `obtain` asks for it.

        False for things that cannot be moved.
        """
        if collection == GALLERIES:
            return False
        with suppress(ValueError):
            self._gallery_lookup.forget(collection, UUID(thing_id))
        return True

    async def _gallery_of(self, collection: str, thing_id: str) -> UUID | None:
        try:
            named = UUID(thing_id)
        except ValueError:
            return None
        return named if collection == GALLERIES else await self._gallery_lookup.gallery_of(collection, named)

    async def _ask(self, token: str, claims: AccountClaims, gallery_id: UUID) -> KeptGrant:
        grant = await self._grant_client.ask(OWNER, {"gallery_id": str(gallery_id), "token": token})
        remaining_s = claims.expires_at - self._clock().timestamp()
        return replace(grant, account_id=claims.account_id, reusable_s=min(grant.reusable_s, remaining_s))


def bearer(headers: RawHeaders) -> str | None:
    """Returns the access token, None without one. Raises HeaderUnreadable, and AccessTokenInvalid if it is
    empty.

    Another scheme of `Authorization` is ignored: it may be meant for a proxy in front.
    """
    authorization = first(headers, AUTHORIZATION)
    try:
        return None if authorization is None else bearer_token(text(authorization))
    except AccessTokenMissing:
        return None
