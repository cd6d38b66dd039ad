"""The active signing key and the rotation of signing keys."""

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
"""How long a replica continues to sign with a key after its successor took over."""
RETIRE_GRACE = timedelta(minutes=1)
"""How much longer than a token lives its key stays published, because of replicas' caches and clock
differences.
"""

_log = get_logger(__name__)


class KeyRotation:
    """Rotates keys. Any replica may run any step at any time, since the table's lock serialises them."""

    def __init__(self, *, database: Database, seal: KeySeal, policy: KeyPolicy, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._policy = policy
        self._clock = clock

    async def ensure_active(self) -> None:
        """Create the very first key, which signs at once, because no cached key set can lack it."""
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            if not any(key.state == "active" for key in await rows.lock()):
                await self._add(rows, "active")

    async def rotate(self) -> str:
        """Publish the key that will sign next, unless there is one. Returns its id.

        It takes over automatically, `publish_ahead` after its publication.
        """
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            keys = await rows.lock()
            upcoming = next((key.kid for key in keys if key.state == "next"), None)
            if upcoming is not None:
                return upcoming
            # Without any key there is no predecessor to wait for.
            return await self._add(rows, "next" if keys else "active")

    async def rotate_now(self) -> str:
        """Sign with a new key from now on, where the old key must not sign any more. Returns the new key's
        id.

        Tokens of the old keys stay valid. A verifier that has just fetched the keys refuses tokens of the new
        key for up to MIN_REFRESH_INTERVAL_S seconds (`kappi_chassis.auth.verifier`).
        """
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            keys = await rows.lock()
            await rows.forget([key.kid for key in keys if key.state == "next"])
            await rows.retire_active(until=self._clock() + self._policy.retire_for)
            return await self._add(rows, "active")

    async def move_along(self) -> None:
        """Run the steps that are due: publish, activate, remove."""
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
        """Returns all keys, oldest first, for an operator."""
        async with self._database.transaction() as connection:
            return await KeyRows(connection).lock()

    async def _add(self, rows: KeyRows, state: KeyState) -> str:
        key = SigningKey.generate()
        await rows.insert(key, sealed=self._seal.seal(key), state=state, now=self._clock())
        _told("created", key.kid)
        return key.kid


class Keyring:
    """The active signing key, cached for CACHE_S seconds, and the public halves of all keys."""

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
        """Returns the signing key. Raises KeySecretWrong."""
        if self._active is None or self._monotonic() - self._looked_at > CACHE_S:
            self._active = await self._load()
            self._looked_at = self._monotonic()
        return self._active

    async def published(self) -> dict[str, Sequence[dict[str, str]]]:
        """Returns a JSON Web Key Set (RFC 7517) of every key whose tokens may still be valid."""
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
