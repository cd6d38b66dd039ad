"""The rotation of signing keys.

Any replica may run any step at any time, because the table's lock serialises them.
"""

from __future__ import annotations

from datetime import timedelta

from kappi_chassis.auth import SigningKey
from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger

from kappi_identity import metrics
from kappi_identity.domain.key_schedule import KeyPolicy, KeyState, due_steps
from kappi_identity.domain.tokens import KeySeal
from kappi_identity.repository.keys import KeyRows

RETIRE_GRACE = timedelta(minutes=1)
"""How much longer than a token lives its key stays published, because of replicas' caches and clock
differences.
"""

_log = get_logger(__name__)


class KeyUseCase:
    """Base of the use cases of signing keys."""

    def __init__(self, *, database: Database, seal: KeySeal, policy: KeyPolicy, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._policy = policy
        self._clock = clock

    async def _add(self, rows: KeyRows, state: KeyState) -> str:
        key = SigningKey.generate()
        await rows.insert(key, sealed=self._seal.seal(key), state=state, now=self._clock())
        _record("created", key.kid)
        return key.kid


class RotateKeys(KeyUseCase):
    """Publishes the key that will sign next."""

    async def __call__(self) -> str:
        """Returns the id of the next key, which is a new one unless there was one.

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


class ReplaceKey(KeyUseCase):
    """Signs with a new key from now on, where the old key must not sign any more."""

    async def __call__(self) -> str:
        """Returns the new key's id.

        Tokens of the old keys stay valid. A verifier that has just fetched the keys refuses tokens of the new
        key for up to MIN_REFRESH_INTERVAL_S seconds (`kappi_chassis.auth.verifier`).
        """
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            keys = await rows.lock()
            await rows.forget([key.kid for key in keys if key.state == "next"])
            await rows.retire_active(until=self._clock() + self._policy.retire_for)
            return await self._add(rows, "active")


class AdvanceKeys(KeyUseCase):
    """Creates the first key, or runs the steps that are due: publish, activate, remove.

    The first key signs at once, because no cached key set can lack it.
    """

    async def __call__(self) -> None:
        now = self._clock()
        async with self._database.transaction() as connection:
            rows = KeyRows(connection)
            keys = await rows.lock()
            if not any(key.state == "active" for key in keys):
                await self._add(rows, "active")
                return
            steps = due_steps(keys, policy=self._policy, now=now)
            if steps.activate is not None:
                await rows.retire_active(until=now + self._policy.retire_for)
                await rows.activate(steps.activate, now=now)
                _record("activated", steps.activate)
            if steps.create:
                await self._add(rows, "next")
            if steps.forget:
                await rows.forget(steps.forget)
                for kid in steps.forget:
                    _record("forgotten", kid)


def _record(step: str, kid: str) -> None:
    metrics.KEY_STEPS.labels(step).inc()
    _log.info(f"signing_key.{step}", kid=kid)
