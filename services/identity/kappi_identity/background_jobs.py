"""The periodic jobs of a running service: announcing tiers, rotating keys, removing expired rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger
from sqlalchemy.exc import SQLAlchemyError

from kappi_identity.repository.expired_rows import remove_expired_rows
from kappi_identity.use_cases.keys import KeyRotation
from kappi_identity.use_cases.tiers import Tiers

TIERS_EVERY_S = 15.0
KEYS_EVERY_S = 15.0
EXPIRED_ROWS_EVERY_S = 600.0
THROTTLE_MEMORY = timedelta(days=1)

_log = get_logger(__name__)


class BackgroundJobs:
    """Periodic jobs. Several replicas may run them, because every step is harmless to repeat."""

    def __init__(
        self,
        *,
        database: Database,
        tiers: Tiers,
        rotation: KeyRotation,
        session_idle: timedelta,
        client_known_for: timedelta,
        clock: Clock,
    ) -> None:
        self._database = database
        self._tiers = tiers
        self._rotation = rotation
        self._session_idle = session_idle
        self._client_known_for = client_known_for
        self._clock = clock

    async def announce_tiers(self) -> None:
        """Announce each tier that a migration added, once; runs until cancelled."""
        await _repeated("tiers.announce", self._tiers.announce, every_s=TIERS_EVERY_S)

    async def move_keys(self) -> None:
        """Rotate the signing keys; runs until cancelled."""
        await _repeated("signing_keys.move", self._keys, every_s=KEYS_EVERY_S)

    async def remove_expired_rows(self) -> None:
        """Remove expired rows; runs until cancelled."""
        await _repeated("leftovers.remove", self._expired_rows, every_s=EXPIRED_ROWS_EVERY_S)

    async def _keys(self) -> None:
        await self._rotation.ensure_active()
        await self._rotation.move_along()

    async def _expired_rows(self) -> None:
        await remove_expired_rows(
            self._database,
            now=self._clock(),
            session_idle=self._session_idle,
            client_known_for=self._client_known_for,
            throttle_memory=THROTTLE_MEMORY,
        )


async def _repeated(name: str, step: Callable[[], Awaitable[object]], *, every_s: float) -> None:
    while True:
        try:
            await step()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
            _log.warning(f"{name}.failed", error_type=type(error).__name__)
        await asyncio.sleep(every_s)
