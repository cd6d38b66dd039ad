"""Turning a code or an access key into a grant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.grants import GRANT_LIFETIME, seal_grant
from kappi_chassis.clock import Clock
from kappi_chassis.problems import Problem
from kappi_contracts.grants import Grant, PublicGallery, Right

from kappi_galleries import metrics
from kappi_galleries.credentials import access_key_hash, read_code
from kappi_galleries.domain import ANONYMOUS_TIER, Gallery
from kappi_galleries.errors import GalleryKeyWrong, GalleryNotFound
from kappi_galleries.links import Links
from kappi_galleries.repository import GalleryQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedGrant:
    """A grant as a token. expires_in: seconds it may be used."""

    grant: str
    expires_in: int
    gallery_id: UUID


class Granting:
    """Answers who may do what, once; whoever gets the grant asks nobody again while it lasts."""

    def __init__(self, *, queries: GalleryQueries, key: SigningKey, links: Links, clock: Clock) -> None:
        self._queries = queries
        self._key = key
        self._links = links
        self._clock = clock

    async def for_code(self, code: str) -> SealedGrant:
        """A grant to view. Raises GalleryNotFound, the same for every gallery this code does not open."""
        now = self._clock()
        gallery = await self._queries.open_by_code(read_code(code), now=now)
        if gallery is None:
            raise _refusal(GalleryNotFound())
        return self._seal(gallery, "view", now=now)

    async def for_access_key(self, access_key: str) -> SealedGrant:
        """A grant to manage. Raises GalleryKeyWrong; GalleryNotFound when the key's own gallery is gone."""
        now = self._clock()
        key_hash = access_key_hash(access_key)
        gallery = None if key_hash is None else await self._queries.by_access_key(key_hash)
        if gallery is None:
            raise _refusal(GalleryKeyWrong())
        if gallery.is_gone(now):
            raise _refusal(GalleryNotFound())
        return self._seal(gallery, "manage", now=now)

    def _seal(self, gallery: Gallery, right: Right, *, now: datetime) -> SealedGrant:
        lifetime = GRANT_LIFETIME
        if gallery.expires_at is not None:
            # A grant must not keep an expired gallery open.
            lifetime = min(lifetime, gallery.expires_at - now)
        grant = Grant(
            gallery_id=gallery.id,
            right=right,
            tier=ANONYMOUS_TIER,
            gallery=self._public(gallery),
            owner_id=gallery.owner_id,
        )
        metrics.GRANTS.labels(right).inc()
        return SealedGrant(
            grant=seal_grant(self._key, grant, now=now, lifetime=lifetime),
            expires_in=int(lifetime.total_seconds()),
            gallery_id=gallery.id,
        )

    def _public(self, gallery: Gallery) -> PublicGallery:
        return PublicGallery(
            id=gallery.id,
            code=gallery.code,
            url=self._links.to(gallery),
            title=gallery.title,
            visibility=gallery.visibility,
            password_protected=gallery.password_protected,
            expires_at=gallery.expires_at,
            created_at=gallery.created_at,
            version=gallery.version,
        )


def _refusal(problem: Problem) -> Problem:
    metrics.GRANT_REFUSALS.labels(problem.code).inc()
    return problem
