"""Whether a code alone still opens a gallery, for streams that began earlier."""

from __future__ import annotations

from kappi_gateway.auth.grant_cache import GrantCache, GrantKey, KeptGrant
from kappi_gateway.auth.grant_client import GrantClient
from kappi_gateway.errors import GrantRefused


class CodeAccess:
    """Asks as a viewer without a password does. It costs the viewers no guess."""

    def __init__(self, grant_client: GrantClient, *, cache: GrantCache) -> None:
        self._grant_client = grant_client
        self._cache = cache

    async def __call__(self, code: str) -> KeptGrant | None:
        """Returns the grant to view that a code gives now, None if it gives none.

        Raises UpstreamUnavailable, UpstreamTimeout.
        """
        key = GrantKey("view", code, b"")
        try:
            return self._cache.find(key) or await self._cache.obtain(
                key, lambda: self._grant_client.ask("view", {"code": code})
            )
        except GrantRefused:
            return None
