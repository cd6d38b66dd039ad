"""Creating an anonymous gallery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme, access_key_hash
from kappi_galleries.domain.galleries import Gallery, GalleryDetails, GalleryId, LifetimePolicy, details_of
from kappi_galleries.events import created
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows
from kappi_galleries.use_cases.code_allocation import take_free_code


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGallery(GalleryDetails):
    """The fields a caller without an account may choose. lifetime_s: seconds from now, None for the
    default.
    """

    lifetime_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedGallery:
    """A new gallery and the only copy of its access key."""

    gallery: Gallery
    access_key: str


class CreateGallery:
    """Creates anonymous galleries.

    The database alone keeps codes unique: no code is looked up before it is taken.
    """

    def __init__(
        self,
        *,
        queries: GalleryQueries,
        outbox: Outbox,
        codes: CodeScheme,
        lifetimes: LifetimePolicy,
        clock: Clock,
        new_id: NewId,
        new_access_key: Callable[[], str],
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._codes = codes
        self._lifetimes = lifetimes
        self._clock = clock
        self._new_id = new_id
        self._new_access_key = new_access_key

    async def create(self, new: NewGallery) -> CreatedGallery:
        """Create a gallery in a transaction of its own, with one round trip per tried code, so mostly one.

        Raises LifetimeRefused, CodesExhausted.
        """
        draft, key_hash = self._draft(new)
        event = self._outbox.row(created(draft.gallery))

        async def take(code: str) -> bool:
            gallery = replace(draft.gallery, code=code)
            return await self._queries.create(gallery, access_key_hash=key_hash, event=event)

        code = await take_free_code(self._codes, take)
        self._outbox.wake()
        metrics.CREATED.labels("anonymous").inc()
        return replace(draft, gallery=replace(draft.gallery, code=code))

    async def create_once(
        self, call: IdempotentCall, new: NewGallery, *, render: Callable[[CreatedGallery], StoredAnswer]
    ) -> StoredAnswer:
        """Create a gallery and store the rendered answer in one transaction, or return the answer stored
        before.

        Raises as `create` does, and IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._create_within(unit, new))

        return await answer_once(self._outbox, call, act)

    async def _create_within(self, unit: UnitOfWork, new: NewGallery) -> CreatedGallery:
        draft, key_hash = self._draft(new)
        rows = GalleryRows(unit.connection)

        async def take(code: str) -> bool:
            gallery = replace(draft.gallery, code=code)
            return await rows.insert(gallery, secrets={"access_key_hash": key_hash})

        gallery = replace(draft.gallery, code=await take_free_code(self._codes, take))
        await unit.publish(created(gallery), sequence=gallery.version)
        metrics.CREATED.labels("anonymous").inc()
        return replace(draft, gallery=gallery)

    def _draft(self, new: NewGallery) -> tuple[CreatedGallery, bytes]:
        now = self._clock()
        access_key = self._new_access_key()
        key_hash = access_key_hash(access_key)
        assert key_hash is not None
        gallery = Gallery(
            id=GalleryId(self._new_id()),
            code=None,
            owner_id=None,
            visibility="shared",
            password_protected=False,
            expires_at=self._lifetimes.deadline(new.lifetime_s, now=now),
            created_at=now,
            updated_at=now,
            deleted_at=None,
            version=1,
            item_count=0,
            size_bytes=0,
            **details_of(new),
        )
        return CreatedGallery(gallery=gallery, access_key=access_key), key_hash
