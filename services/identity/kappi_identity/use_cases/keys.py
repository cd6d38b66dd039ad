"""The signing keys: the one in use, and their rotation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from kappi_chassis.auth import SigningKey
from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger

from kappi_identity import metrics
from kappi_identity.domain.key_schedule import KeyPolicy, KeyState, PublishedKey, due_steps
from kappi_identity.domain.tokens import KeySeal
from kappi_identity.repository.keys import KeyQueries, KeyRows

CACHE_S = 10.0
"""How long a replica goes on signing with a key after another one took over."""
RETIRE_GRACE = timedelta(minutes=1)
"""How much longer than a token lives its key stays published: replicas' caches, clocks that differ."""

_log = get_logger(__name__)


class KeyRotation:
    """Moves keys along. Any replica may do any step at any time: the table's lock makes them one."""

    def __init__(self, *, database: Database, seal: KeySeal, policy: KeyPolicy, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._policy = policy
        self._clock = clock

    async def ensure_active(self) -> None:
        """Make the first key of all, which signs at once: nobody has cached a set without it."""
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            if not any(key.state == "active" for key in await rows.lock()):
                await self._add(rows, "active")

    async def rotate(self) -> str:
        """Publish the key that will sign next, unless one is; returns its id.

        It takes over by itself, `publish_ahead` after it was published.
        """
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            keys = await rows.lock()
            upcoming = next((key.kid for key in keys if key.state == "next"), None)
            if upcoming is not None:
                return upcoming
            # Without any key there is nobody to take over from.
            return await self._add(rows, "next" if keys else "active")

    async def rotate_now(self) -> str:
        """Sign with a new key from here on; returns its id. What the old ones signed stays valid.

        For a key that must not sign any more. A verifier that has just fetched the keys refuses tokens of
        the new one for up to MIN_REFRESH_INTERVAL_S seconds (`kappi_chassis.auth.verifier`).
        """
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            keys = await rows.lock()
            await rows.forget([key.kid for key in keys if key.state == "next"])
            await rows.retire_active(until=self._clock() + self._policy.retire_for)
            return await self._add(rows, "active")

    async def move_along(self) -> None:
        """Do what is due: publish, activate, forget."""
        now = self._clock()
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            steps = due_steps(await rows.lock(), policy=self._policy, now=now)
            if steps.activate is not None:
                await rows.retire_active(until=now + self._policy.retire_for)
                await rows.activate(steps.activate, now=now)
                _told("activated", steps.activate)
            if steps.create:
                await self._add(rows, "next")
            if steps.forget:
                await rows.forget(steps.forget)
                for kid in steps.forget:
                    _told("forgotten", kid)

    async def keys(self) -> Sequence[PublishedKey]:
        """All of them, oldest first, for an operator to look at."""
        async with self._database.transaction() as connection:
            return await KeyRows(connection).lock()

    async def _add(self, rows: KeyRows, state: KeyState) -> str:
        key = SigningKey.generate()
        await rows.insert(key, sealed=self._seal.seal(key), state=state, now=self._clock())
        _told("created", key.kid)
        return key.kid


class Keyring:
    """The key to sign with, remembered for a moment, and the public halves of all."""

    def __init__(
        self,
        *,
        queries: KeyQueries,
        rotation: KeyRotation,
        seal: KeySeal,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queries = queries
        self._rotation = rotation
        self._seal = seal
        self._monotonic = monotonic
        self._active: SigningKey | None = None
        self._looked_at = float("-inf")

    async def active(self) -> SigningKey:
        """Raises KeySecretWrong."""
        if self._active is None or self._monotonic() - self._looked_at > CACHE_S:
            self._active = await self._load()
            self._looked_at = self._monotonic()
        return self._active

    async def published(self) -> dict[str, Sequence[dict[str, str]]]:
        """A JSON Web Key Set (RFC 7517): every key whose tokens may be met."""
        keys = await self._queries.published()
        if not keys:
            await self._rotation.ensure_active()
            keys = await self._queries.published()
        return {"keys": keys}

    async def _load(self) -> SigningKey:
        stored = await self._queries.active()
        if stored is None:
            await self._rotation.ensure_active()
            stored = await self._queries.active()
        assert stored is not None
        if self._active is not None and self._active.kid == stored.kid:
            return self._active
        return self._seal.open(stored.sealed_private, kid=stored.kid)


def _told(step: str, kid: str) -> None:
    metrics.KEY_STEPS.labels(step).inc()
    _log.info(f"signing_key.{step}", kid=kid)
