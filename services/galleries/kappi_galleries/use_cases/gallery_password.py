"""Checks the passwords of galleries and limits wrong attempts."""

from __future__ import annotations

import hmac
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.fair_queue import Shares
from kappi_chassis.passwords import Passwords, PasswordsBusy

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import PasswordRefused, read_password
from kappi_galleries.errors import GalleryPasswordRequired, GalleryPasswordWrong, TooManyPasswordAttempts
from kappi_galleries.repository.attempts import AttemptQueries
from kappi_galleries.repository.galleries import GalleryQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimit:
    """The limit of wrong passwords. burst: allowed at once. refill: the time after which one more is
    allowed.
    """

    burst: int
    refill: timedelta


class GalleryPasswordCheck:
    """Checks passwords and slows down guessing, per gallery and client, over all replicas."""

    def __init__(
        self,
        *,
        queries: GalleryQueries,
        attempts: AttemptQueries,
        passwords: Passwords,
        limit: AttemptLimit,
        secret: bytes,
        clock: Clock,
    ) -> None:
        """secret: any value, the same in every replica. Clients are counted under hashes keyed with it."""
        self._queries = queries
        self._attempts = attempts
        self._passwords = passwords
        self._limit = limit
        self._secret = hmac.digest(secret, b"password attempts", "sha256")
        self._clock = clock

    async def check(
        self, gallery_id: UUID, *, password_hash: str, password: str | None, client: str | None
    ) -> None:
        """Return if the password is right. client: the client that the attempt is counted for; None is one
        more client.

        Raises GalleryPasswordRequired, GalleryPasswordWrong, PasswordsBusy, and TooManyPasswordAttempts,
        which also refuses the right password of a client that guessed too often.
        """
        if not password:
            raise GalleryPasswordRequired
        subject = self._subject(gallery_id, client)
        # The attempt is counted before the check, because concurrent attempts must not all be checked before
        # the first is counted.
        await self._take(subject)
        shares = Shares(address=client or "unknown")
        try:
            right = await self._is_right(password, password_hash, shares)
        except PasswordsBusy:
            await self._attempts.give_back(subject, refill=self._limit.refill)
            raise
        if not right:
            raise GalleryPasswordWrong
        await self._attempts.give_back(subject, refill=self._limit.refill)
        if self._passwords.is_outdated(password_hash):
            await self._rehash(gallery_id, password, password_hash, shares)

    async def _take(self, subject: bytes) -> None:
        wait = await self._attempts.take(
            subject, burst=self._limit.burst, refill=self._limit.refill, now=self._clock()
        )
        if wait is not None:
            seconds = max(1, math.ceil(wait.total_seconds()))
            raise TooManyPasswordAttempts(f"Try again in {seconds} seconds.", retry_after_s=seconds)

    async def _is_right(self, password: str, password_hash: str, shares: Shares) -> bool:
        try:
            read = read_password(password)
        except PasswordRefused:
            return False
        return await self._passwords.matches(read, stored=password_hash, shares=shares)

    async def _rehash(self, gallery_id: UUID, password: str, old: str, shares: Shares) -> None:
        # The next right password can be rehashed instead, when fewer passwords wait.
        with suppress(PasswordsBusy):
            new = await self._passwords.hash(read_password(password), shares=shares)
            await self._queries.rehash(gallery_id, old=old, new=new)
            metrics.REHASHED.inc()

    def _subject(self, gallery_id: UUID, client: str | None) -> bytes:
        return hmac.digest(self._secret, gallery_id.bytes + (client or "").encode(), "sha256")
