"""Access tokens of accounts: whose they are, and the grants they are traded for where the account owns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

from kappi_chassis.auth.accounts import (
    AccessTokenInvalid,
    AccessTokenMissing,
    AccountVerifier,
    bearer_token,
)
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.clock import Clock
from kappi_chassis.problems import NotFound
from kappi_contracts.accounts import AccountClaims, Role

from kappi_gateway import metrics
from kappi_gateway.errors import (
    GalleryNotFound,
    GrantRefused,
    HeaderUnreadable,
    LinkNotFound,
    MediaNotFound,
    UploadNotFound,
)
from kappi_gateway.gallery_lookup import GalleryLookup
from kappi_gateway.grant_cache import GrantCache, Granted, GrantKey, KeptGrant, SecretDigests
from kappi_gateway.grant_client import GrantClient
from kappi_gateway.headers import AUTHORIZATION, RawHeaders, first, text

GALLERIES = "galleries"
OWNER: Final = "owner"
ROLE_PATIENCE_S = 0.05
_OWNERS_CACHED = metrics.GRANTS.labels("owner", "cached")
_MISSING: Mapping[str, type[NotFound]] = {
    GALLERIES: GalleryNotFound,
    "media": MediaNotFound,
    "uploads": UploadNotFound,
    "links": LinkNotFound,
}


class OwnerGrants:
    """Looks at the token itself first, so that a bad one costs a signature check and asks nobody."""

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
        """Whose token the client sent, None when it sent none. Raises AccessTokenInvalid, KeysUnavailable."""
        token = bearer(headers)
        return None if token is None else (await self._verifier.open(token)).account_id

    async def role_of(self, headers: RawHeaders) -> Role | None:
        """The role in the token the client sent, None without a good one.

        A token that was seen before costs a look-up. Keys that must be fetched first are not waited for
        longer than a view may take: such a view counts as one without a token.
        """
        try:
            token = bearer(headers)
            if token is None:
                return None
            async with asyncio.timeout(ROLE_PATIENCE_S):
                return (await self._verifier.open(token)).role
        except (AccessTokenInvalid, HeaderUnreadable, KeysUnavailable, TimeoutError):
            return None

    async def obtain(self, token: str, *, collection: str, thing_id: str) -> Granted:
        """A manage grant of the gallery that the thing is, or belongs to.

        collection: what thing_id, as in the path, is an id of. Raises AccessTokenInvalid, KeysUnavailable;
        the collection's own NotFound, the same for what does not exist and what is somebody else's;
        GrantRefused, UpstreamUnavailable, UpstreamTimeout.
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
            # The gallery it was in may be deleted by now, and the thing in another.
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
        """Whether the thing may have been moved to another gallery: then the next `obtain` asks which."""
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
    """The access token, None without one. Raises AccessTokenInvalid when it is empty, HeaderUnreadable.

    Another scheme is none of ours: it may be meant for a proxy that stands in front.
    """
    authorization = first(headers, AUTHORIZATION)
    try:
        return None if authorization is None else bearer_token(text(authorization))
    except AccessTokenMissing:
        return None
