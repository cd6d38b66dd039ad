"""Expiring links: the bearer of a link gets the original until a fixed second, with no other credential."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.pagination import cut_page
from kappi_chassis.time_left import with_seconds_left
from kappi_contracts.events import LinkCreated
from kappi_contracts.grants import Grant
from kappi_contracts.keys import original_key

from kappi_media import errors, metrics
from kappi_media.domain.media import GalleryId, LinkId, MediaId
from kappi_media.domain.tiers import TierRules
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.repository.gps_free import note_granted
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.links import Link, LinkQueries, add_link, hold_item
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.gps_free import GpsFreeCopies

CREATED = 201
TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """The order of a link. grant: to manage the item's gallery. max_views, max_downloads: None for no cap."""

    media_id: MediaId
    grant: Grant
    rules: TierRules
    valid_for: timedelta
    max_views: int | None = None
    max_downloads: int | None = None


@dataclass(frozen=True, slots=True)
class FollowedLink:
    """The target of a followed link. signed: ends with the link at the latest."""

    gallery_id: GalleryId
    media_id: MediaId
    signed: SignedUrl


class CreatedLink(NamedTuple):
    """A new link. token: the secret at the end of the link's address; only its hash is kept. created_at:
    exact.
    """

    link: Link
    token: str
    created_at: datetime


class LivePage(NamedTuple):
    """Links in the order they were made. next_after: for the page after. seen_at: the time of the answer."""

    links: Sequence[Link]
    next_after: UUID | None
    seen_at: datetime


class CreateLink:
    def __init__(self, *, outbox: Outbox, clock: Clock, new_id: NewId) -> None:
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self, order: LinkOrder, call: IdempotentCall | None, *, render: Callable[[CreatedLink], bytes]
    ) -> bytes:
        """Returns the answer with the link and its token, which is shown to no other call.

        call: a repetition of it gets the first answer. render: encodes the answer. Raises LinksNotInTier,
        OriginalNotInTier, MediaNotFound, IdempotencyKeyReused.
        """
        _check(order.rules)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return StoredAnswer(CREATED, render(await self._create_within(unit, order)))

        answer = await answer_once(self._outbox, call, act)
        return with_seconds_left(answer.body, now=self._clock())

    async def _create_within(self, unit: UnitOfWork, order: LinkOrder) -> CreatedLink:
        gallery_id, face = GalleryId(order.grant.gallery_id), order.grant.gallery
        # A request that follows the link brings no grant, so these facts are recorded now.
        await note_granted(unit.connection, gallery_id, face)
        if not await hold_item(unit.connection, order.media_id, gallery_id):
            raise errors.MediaNotFound
        # Whole seconds, because the store's signed URLs end on one.
        now = self._clock()
        created_at = now.replace(microsecond=0)
        expires_at = created_at + order.valid_for
        if order.grant.gallery.expires_at is not None:
            expires_at = min(expires_at, order.grant.gallery.expires_at.replace(microsecond=0))
        link = Link(
            id=LinkId(self._new_id()),
            media_id=order.media_id,
            gallery_id=gallery_id,
            valid_for_s=int(order.valid_for.total_seconds()),
            expires_at=expires_at,
            created_at=created_at,
            max_views=order.max_views,
            max_downloads=order.max_downloads,
        )
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await add_link(unit.connection, link, token_hash=hash_of(token))
        event = LinkCreated(
            link_id=link.id,
            media_id=link.media_id,
            gallery_id=link.gallery_id,
            expires_at=link.expires_at,
            created_at=link.created_at,
        )
        await unit.publish(event, sequence=1)
        metrics.LINKS.labels("created").inc()
        return CreatedLink(link, token, now)


class Links:
    """Handles existing links. They outlive a change of the tier: a link that was given away stays valid."""

    def __init__(
        self,
        links: LinkQueries,
        *,
        items: ItemQueries,
        urls: DownloadUrls,
        copies: GpsFreeCopies,
        clock: Clock,
    ) -> None:
        self._copies = copies
        self._links = links
        self._items = items
        self._urls = urls
        self._clock = clock

    async def live(
        self, media_id: MediaId, gallery_id: GalleryId, *, after: UUID | None, limit: int
    ) -> LivePage:
        """Returns the links of an item that still work, without their tokens. Raises MediaNotFound."""
        if await self._items.find(media_id, gallery_id) is None:
            raise errors.MediaNotFound
        now = self._clock()
        found = await self._links.live(media_id, gallery_id, now=now, after=after, limit=limit + 1)
        page, last = cut_page(found, limit=limit)
        return LivePage(page, last.id if last else None, now)

    async def revoke(self, link_id: LinkId, gallery_id: GalleryId) -> None:
        """End a link at once; signed URLs that it led to already stay valid. Raises LinkNotFound."""
        if not await self._links.revoke(link_id, gallery_id):
            raise errors.LinkNotFound
        metrics.LINKS.labels("revoked").inc()

    async def follow(self, token: str) -> FollowedLink:
        """Returns a URL of the original that ends with the link at the latest.

        In a gallery that hides places, the URL is of the copy without the place. Raises LinkNotFound,
        LinkExpired (also for a cap that is reached), MediaNotReady (it is still to be checked), and as
        `GpsFreeCopies` does.
        """
        target = await self._links.target(hash_of(token))
        now = self._clock()
        if target is None:
            raise errors.LinkNotFound
        if target.expires_at <= now:
            raise errors.LinkExpired
        if target.is_used_up:
            raise _used_up()
        if target.status != "ready":
            raise errors.MediaNotReady("It is still being checked; try again in a moment.")
        key = original_key(target.gallery_id, target.media_id, target.folder)
        if target.location_free:
            key = (await self._copies(target.media_id, target.gallery_id)).key
        signed = self._urls.object_until(
            target.expires_at, now=now, key=key, filename=target.filename, content_type=target.content_type
        )
        # Counted last, so that nothing that fails uses up the link.
        if target.max_follows is not None and not await self._links.count_follow(target.link_id):
            raise _used_up()
        metrics.LINKS.labels("followed").inc()
        return FollowedLink(target.gallery_id, target.media_id, signed)


def _used_up() -> errors.LinkExpired:
    metrics.LINKS.labels("used_up").inc()
    return errors.LinkExpired()


def hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _check(rules: TierRules) -> None:
    if not rules.expiring_links:
        raise errors.LinksNotInTier
    if not rules.original_access:
        raise errors.OriginalNotInTier("A link leads to the original.")
