"""The active signing key and the published keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from kappi_chassis.auth import SigningKey

from kappi_identity.domain.tokens import KeySeal
from kappi_identity.repository.keys import KeyQueries
from kappi_identity.use_cases.rotate_keys import AdvanceKeys

CACHE_S = 10.0
"""How long a replica continues to sign with a key after its successor took over."""


class Keyring:
    """The active signing key, cached for CACHE_S seconds, and the public halves of all keys."""

    def __init__(
        self,
        queries: KeyQueries,
        *,
        advance_keys: AdvanceKeys,
        seal: KeySeal,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queries = queries
        self._advance_keys = advance_keys
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
            await self._advance_keys()
            keys = await self._queries.published()
        return {"keys": keys}

    async def _load(self) -> SigningKey:
        stored = await self._queries.active()
        if stored is None:
            await self._advance_keys()
            stored = await self._queries.active()
        assert stored is not None
        if self._active is not None and self._active.kid == stored.kid:
            return self._active
        return self._seal.open(stored.sealed_private, kid=stored.kid)
