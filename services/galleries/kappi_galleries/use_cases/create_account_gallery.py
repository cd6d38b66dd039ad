"""Creating a gallery that belongs to an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.fair_queue import Shares
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once, answered_before
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.passwords import Passwords

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import Gallery, GalleryDetails, GalleryId, Visibility, details_of
from kappi_galleries.events import created
from kappi_galleries.repository.accounts import AccountRows
from kappi_galleries.repository.galleries import GalleryRows, Secrets
from kappi_galleries.use_cases.code_allocation import with_free_code


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccountGallery(GalleryDetails):
    """The fields an account may choose. password: in the form in which it is hashed, None for none."""

    visibility: Visibility = "shared"
    password: str | None = None


class CreateAccountGallery:
    """Creates galleries that have an owner, no access key and no deadline."""

    def __init__(
        self, *, outbox: Outbox, codes: CodeScheme, passwords: Passwords, clock: Clock, new_id: NewId
    ) -> None:
        self._outbox = outbox
        self._codes = codes
        self._passwords = passwords
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self,
        owner_id: UUID,
        new: NewAccountGallery,
        *,
        shares: Shares,
        call: IdempotentCall | None,
        render: Callable[[Gallery], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered gallery, or the answer stored before. shares: the queue shares that hashing
        the password uses.

        Raises AccessTokenInvalid for an account that was deleted or is suspended, CodesExhausted,
        PasswordsBusy, IdempotencyKeyReused.
        """
        password_hash = None
        if new.password is not None:
            known = await answered_before(self._outbox, call)
            if known is not None:
                return known
            password_hash = await self._passwords.hash(new.password, shares=shares)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            if not await AccountRows(unit.connection).admit(owner_id):
                raise AccessTokenInvalid
            gallery = await self._insert(unit, self._draft(owner_id, new), password_hash=password_hash)
            return render(gallery)

        return await answer_once(self._outbox, call, act)

    async def _insert(self, unit: UnitOfWork, draft: Gallery, *, password_hash: str | None) -> Gallery:
        rows, secrets = GalleryRows(unit.connection), Secrets(password_hash=password_hash)
        gallery = await with_free_code(draft, self._codes, partial(rows.insert, secrets=secrets))
        await unit.publish(created(gallery), sequence=gallery.version)
        metrics.CREATED.labels("account").inc()
        return gallery

    def _draft(self, owner_id: UUID, new: NewAccountGallery) -> Gallery:
        now = self._clock()
        return Gallery(
            id=GalleryId(self._new_id()),
            code=None,
            owner_id=owner_id,
            visibility=new.visibility,
            password_protected=new.password is not None,
            expires_at=None,
            created_at=now,
            updated_at=now,
            **details_of(new),
        )
