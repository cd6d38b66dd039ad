"""Verification of account access tokens; the identity service alone issues them."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from kappi_contracts.accounts import ACCESS_AUDIENCE, ACCESS_ISSUER, AccountClaims

from kappi_chassis.auth.verifier import JwksSource, TokenInvalid, TokenVerifier
from kappi_chassis.clock import Clock
from kappi_chassis.problems import Unauthenticated

CACHED_TOKENS = 4_096
_SCHEME = "bearer"


class AccessTokenInvalid(Unauthenticated):
    """Raised alike for a malformed, expired, altered or revoked token and for an unpublished key."""

    code, title = "access_token_invalid", "The access token is not valid"

    def __init__(self, detail: str = "Refresh it, or log in again.") -> None:
        # The challenge of RFC 6750, section 3.
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class AccessTokenMissing(Unauthenticated):
    def __init__(self, detail: str = "Send it as Authorization: Bearer.") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


def bearer_token(authorization: str | None) -> str:
    """Returns the token of an `Authorization` header. Raises AccessTokenMissing, AccessTokenInvalid."""
    if not authorization:
        raise AccessTokenMissing
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != _SCHEME:
        raise AccessTokenMissing
    if not token.strip():
        raise AccessTokenInvalid
    return token.strip()


class AccountVerifier:
    """Verifies access tokens. A token seen before costs a dictionary lookup instead of a signature check."""

    def __init__(self, source: JwksSource, *, clock: Clock) -> None:
        self._tokens = TokenVerifier(source, issuer=ACCESS_ISSUER, audience=ACCESS_AUDIENCE)
        self._clock = clock
        self._seen: OrderedDict[str, AccountClaims] = OrderedDict()

    async def open(self, token: str) -> AccountClaims:
        """Returns the token's claims. Raises AccessTokenInvalid, KeysUnavailable."""
        known = self._seen.get(token)
        if known is not None and self._lasts(known):
            return known
        try:
            claims = msgspec.convert(await self._tokens.verify(token), AccountClaims)
        except (TokenInvalid, msgspec.ValidationError) as error:
            raise AccessTokenInvalid from error
        if not self._lasts(claims):
            raise AccessTokenInvalid
        self._seen[token] = claims
        while len(self._seen) > CACHED_TOKENS:
            self._seen.popitem(last=False)
        return claims

    def _lasts(self, claims: AccountClaims) -> bool:
        return claims.expires_at > self._clock().timestamp()
