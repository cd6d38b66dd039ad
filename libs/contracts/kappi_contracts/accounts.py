"""The claims of access tokens, which the identity service issues for some minutes."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

ACCESS_ISSUER = "kappi-identity"
ACCESS_AUDIENCE = "kappi"
JWKS_PATH = "/.well-known/jwks.json"

Role = Literal["user", "admin"]


class AccountClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of an access token (modelled on RFC 9068). issued_at, expires_at: seconds since 1970, UTC.

    tier: name of the account's tier when the token was issued; names are compared ignoring case. session_id:
    the login that the token came from. token_id: unique per token. display_name: as it was when the token was
    issued; None if the account has none.
    """

    account_id: UUID = msgspec.field(name="sub")
    session_id: UUID = msgspec.field(name="sid")
    role: Role
    tier: str
    issued_at: int = msgspec.field(name="iat")
    expires_at: int = msgspec.field(name="exp")
    token_id: str = msgspec.field(name="jti")
    display_name: str | None = msgspec.field(name="name", default=None)
