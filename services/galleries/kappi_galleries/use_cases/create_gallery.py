"""Creating an anonymous gallery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme, access_key_hash, new_access_key
from kappi_galleries.domain.galleries import Gallery, GalleryDetails, GalleryId, LifetimePolicy, details_of
from kappi_galleries.events import created
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows, Secrets
from kappi_galleries.use_cases.code_allocation import with_free_code


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGallery(GalleryDetails):
    """The fields a caller without an account may choose. lifetime_s: seconds from now, None for the
    default.
    """

    lifetime_s: int | None = None


class CreateGallery:
    """Creates anonymous galleries.

    The database alone keeps codes unique: no code is looked up before it is taken.
    """

    def __init__(
        self,
        queries: GalleryQueries,
        *,
        outbox: Outbox,
        codes: CodeScheme,
        lifetimes: LifetimePolicy,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._queries = queries
        self._outbox = outbox
        self._codes = codes
        self._lifetimes = lifetimes
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self,
        new: NewGallery,
        *,
        call: IdempotentCall | None,
        render: Callable[[Gallery, str], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered gallery, or the answer stored before. render: also receives the only copy of
        the access key.

        A call without a key takes one round trip per tried code, so mostly one. Raises LifetimeRefused,
        CodesExhausted, IdempotencyKeyReused.
        """
        draft, access_key = self._draft(new), new_access_key()
        key_hash = access_key_hash(access_key)
        assert key_hash is not None
        if call is None:
            return render(await self._create(draft, key_hash), access_key)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._create_within(unit, draft, key_hash), access_key)

        return await answer_once(self._outbox, call, act)

    async def _create(self, draft: Gallery, key_hash: bytes) -> Gallery:
        event = self._outbox.row(created(draft))
        take = partial(self._queries.create, access_key_hash=key_hash, event=event)
        gallery = await with_free_code(draft, self._codes, take)
        self._outbox.wake()
        metrics.CREATED.labels("anonymous").inc()
        return gallery

    async def _create_within(self, unit: UnitOfWork, draft: Gallery, key_hash: bytes) -> Gallery:
        take = partial(GalleryRows(unit.connection).insert, secrets=Secrets(access_key_hash=key_hash))
        gallery = await with_free_code(draft, self._codes, take)
        await unit.publish(created(gallery), sequence=gallery.version)
        metrics.CREATED.labels("anonymous").inc()
        return gallery

    def _draft(self, new: NewGallery) -> Gallery:
        now = self._clock()
        return Gallery(
            id=GalleryId(self._new_id()),
            code=None,
            owner_id=None,
            visibility="shared",
            password_protected=False,
            expires_at=self._lifetimes.deadline(new.lifetime_s, now=now),
            created_at=now,
            updated_at=now,
            **details_of(new),
        )
