"""Issues grants for a code, an access key or an owner's token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.grants import GRANT_LIFETIME, seal_grant
from kappi_chassis.clock import Clock
from kappi_chassis.problems import Problem
from kappi_contracts.accounts import AccountClaims
from kappi_contracts.grants import Contributor, Grant, PublicGallery, Right
from kappi_contracts.tiers import ANONYMOUS_TIER, DEFAULT_TIER

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import access_key_hash, read_code
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.domain.links import Links
from kappi_galleries.errors import ContributorKeyWrong, GalleryKeyWrong, GalleryNotFound, GalleryTakenDown
from kappi_galleries.repository.contributors import ContributorQueries
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.use_cases.gallery_password import GalleryPasswordCheck

_STORED_FIELDS: Final = tuple(name for name in PublicGallery.__struct_fields__ if name not in {"code", "url"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GallerySummary:
    """What the gateway writes on the page of a gallery. used_up: a cap is reached."""

    title: str | None
    item_count: int
    size_bytes: int
    used_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedGrant:
    """A grant as a token. expires_in: its lifetime in seconds. gallery_expires_at: None if it never does.

    hides_items: the grant is one to view a gallery in which viewers see no items.
    """

    grant: str
    expires_in: int
    gallery_id: UUID
    gallery_expires_at: datetime | None
    summary: GallerySummary
    hides_items: bool


class GrantSealer:
    """Seals grants, which state a holder's rights, so that services need no further call while a grant
    lasts.
    """

    def __init__(self, key: SigningKey, *, links: Links) -> None:
        self._key = key
        self._links = links

    def seal(
        self,
        gallery: Gallery,
        right: Right,
        *,
        now: datetime,
        tier: str | None = None,
        ends_at: datetime | None = None,
        contributor: Contributor | None = None,
    ) -> SealedGrant:
        """Returns a grant that outlives neither the gallery nor the token that it is issued for.

        tier: of the owner. ends_at: the end of that token. contributor: the one that it is issued for.
        """
        ends = [end - now for end in (gallery.expires_at, ends_at) if end is not None]
        lifetime = min(GRANT_LIFETIME, *ends) if ends else GRANT_LIFETIME
        grant = Grant(
            gallery_id=gallery.id,
            right=right,
            tier=ANONYMOUS_TIER if gallery.owner_id is None else tier or DEFAULT_TIER,
            gallery=self._public(gallery),
            owner_id=gallery.owner_id,
            contributor=contributor,
        )
        metrics.GRANTS.labels(right).inc()
        hides_items = right == "view" and gallery.contributions == "drop"
        return SealedGrant(
            grant=seal_grant(self._key, grant, now=now, lifetime=lifetime),
            expires_in=int(lifetime.total_seconds()),
            gallery_id=gallery.id,
            gallery_expires_at=gallery.expires_at,
            summary=GallerySummary(
                title=gallery.title,
                item_count=0 if hides_items else gallery.item_count,
                size_bytes=0 if hides_items else gallery.size_bytes,
                used_up=gallery.used_up_at is not None,
            ),
            hides_items=hides_items,
        )

    def _public(self, gallery: Gallery) -> PublicGallery:
        stored = {name: getattr(gallery, name) for name in _STORED_FIELDS}
        return PublicGallery(code=gallery.shown_code, url=self._links.to(gallery), **stored)


class IssueViewGrant:
    """Issues a grant to view for a code."""

    def __init__(
        self,
        queries: GalleryQueries,
        *,
        password_check: GalleryPasswordCheck,
        sealer: GrantSealer,
        grace: timedelta,
        clock: Clock,
    ) -> None:
        """Builds the use case. grace: time for which viewers go on after a cap on views is reached."""
        self._queries = queries
        self._grace = grace
        self._password_check = password_check
        self._sealer = sealer
        self._clock = clock

    async def __call__(self, code: str, *, password: str | None, client: str | None) -> SealedGrant:
        """Returns a grant to view. client: the client that wrong passwords are counted for.

        Raises GalleryNotFound, the same for every gallery that the code does not open, and as
        `GalleryPasswordCheck.check` does.
        """
        now = self._clock()
        shared = await self._queries.shared_by_code(read_code(code), now=now, used_up_since=now - self._grace)
        if shared is None:
            raise _refusal(GalleryNotFound())
        gallery = shared.gallery
        if shared.password_hash is not None:
            try:
                await self._password_check.check(
                    gallery.id, password_hash=shared.password_hash, password=password, client=client
                )
            except Problem as problem:
                # A gallery that is used up answers as one that has expired, which asks for no password.
                raise _refusal(problem if gallery.used_up_at is None else GalleryNotFound()) from None
        # The clock is read again, because the password may have waited long in the queue.
        return self._sealer.seal(gallery, "view", now=self._clock())


class IssueContributorGrant:
    """Issues a grant to contribute for a contributor key."""

    def __init__(
        self, queries: ContributorQueries, *, sealer: GrantSealer, grace: timedelta, clock: Clock
    ) -> None:
        """Builds the use case. grace: as of `IssueViewGrant`."""
        self._queries = queries
        self._sealer = sealer
        self._grace = grace
        self._clock = clock

    async def __call__(self, contributor_key: str) -> SealedGrant:
        """Returns a grant to contribute, also for a gallery that takes no contributions any more: the grant
        says so, and the contributor may still delete its items.

        Raises ContributorKeyWrong, GalleryNotFound when the gallery's code opens nothing.
        """
        now = self._clock()
        key_hash = access_key_hash(contributor_key)
        found = None if key_hash is None else await self._queries.by_key(key_hash)
        if found is None:
            raise _refusal(ContributorKeyWrong())
        gallery = found.gallery
        is_used_up = gallery.used_up_at is not None and gallery.used_up_at <= now - self._grace
        if is_used_up or not gallery.is_shown(now):
            raise _refusal(GalleryNotFound())
        return self._sealer.seal(
            gallery, "contribute", now=now, contributor=Contributor(found.id, found.name)
        )


class IssueManageGrant:
    """Base of the use cases that issue a grant to manage."""

    def __init__(self, queries: GalleryQueries, *, sealer: GrantSealer, clock: Clock) -> None:
        self._queries = queries
        self._sealer = sealer
        self._clock = clock


class IssueOwnerGrant(IssueManageGrant):
    """Issues a grant to manage for an owner's token."""

    async def __call__(self, gallery_id: UUID, claims: AccountClaims) -> SealedGrant:
        """Returns a grant to manage. claims: of a verified token.

        Raises GalleryNotFound for a gallery that the account does not own, GalleryTakenDown.
        """
        now = self._clock()
        gallery = await self._queries.by_owner(gallery_id, claims.account_id)
        if gallery is None or gallery.is_gone(now) or gallery.owner_suspended:
            raise _refusal(GalleryNotFound())
        _check_open(gallery)
        token_ends_at = datetime.fromtimestamp(claims.expires_at, UTC)
        return self._sealer.seal(gallery, "manage", now=now, tier=claims.tier, ends_at=token_ends_at)


class IssueKeyGrant(IssueManageGrant):
    """Issues a grant to manage for an access key."""

    async def __call__(self, access_key: str) -> SealedGrant:
        """Returns a grant to manage.

        Raises GalleryKeyWrong, GalleryNotFound when the key's own gallery is gone, GalleryTakenDown.
        """
        now = self._clock()
        key_hash = access_key_hash(access_key)
        gallery = None if key_hash is None else await self._queries.by_access_key(key_hash)
        if gallery is None:
            raise _refusal(GalleryKeyWrong())
        if gallery.is_gone(now):
            raise _refusal(GalleryNotFound())
        _check_open(gallery)
        return self._sealer.seal(gallery, "manage", now=now)


def _check_open(gallery: Gallery) -> None:
    """Raises GalleryTakenDown."""
    if gallery.takedown_id is not None:
        raise _refusal(GalleryTakenDown(gallery.takedown_reason))


def _refusal(problem: Problem) -> Problem:
    metrics.GRANT_REFUSALS.labels(problem.code).inc()
    return problem
