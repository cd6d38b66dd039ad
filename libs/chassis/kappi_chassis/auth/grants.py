"""Grants on both ends: the galleries service seals them, all other services open them (ADR-0003)."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

import msgspec
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER, Grant

from kappi_chassis.auth.keys import SigningKey
from kappi_chassis.auth.verifier import TokenInvalid, TokenVerifier
from kappi_chassis.clock import Clock
from kappi_chassis.problems import Unauthenticated

GRANT_LIFETIME = timedelta(seconds=60)
CACHED_GRANTS = 4_096


class GrantInvalid(Unauthenticated):
    code, title = "grant_invalid", "The grant is not valid"


def seal_grant(key: SigningKey, grant: Grant, *, now: datetime, lifetime: timedelta = GRANT_LIFETIME) -> str:
    """Returns a grant as a signed token."""
    return key.sign(
        {
            "iss": GRANT_ISSUER,
            "aud": GRANT_AUDIENCE,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
            "grant": msgspec.to_builtins(grant),
        }
    )


class GrantVerifier:
    """Opens grants. A token seen before costs a dictionary lookup instead of a signature check."""

    def __init__(self, tokens: TokenVerifier, *, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._seen: OrderedDict[str, tuple[Grant, float]] = OrderedDict()

    async def open(self, token: str) -> Grant:
        """Returns the grant in a token. Raises GrantInvalid."""
        known = self._seen.get(token)
        if known is not None and known[1] > self._clock().timestamp():
            return known[0]
        try:
            claims = await self._tokens.verify(token)
            grant = msgspec.convert(claims.get("grant"), Grant)
        except (TokenInvalid, msgspec.ValidationError) as error:
            raise GrantInvalid("Ask for a new one.") from error
        self._seen[token] = (grant, float(claims["exp"]))
        while len(self._seen) > CACHED_GRANTS:
            self._seen.popitem(last=False)
        return grant
