"""Which account is calling, where a call is not about one gallery: its access token, checked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from kappi_chassis.auth.accounts import AccountVerifier, bearer_token

from kappi_media.domain.media import AccountId

# Documents the scheme; the header is read by `bearer_token`, which tells a missing token from a strange one.
_bearer = HTTPBearer(
    scheme_name="AccountToken",
    bearerFormat="JWT",
    description="An access token from `POST /v1/oauth/token`",
    auto_error=False,
)
AccountToken = Annotated[object, Security(_bearer)]


class AccountGate:
    def __init__(self, accounts: AccountVerifier) -> None:
        self._accounts = accounts

    async def open(self, request: Request) -> AccountId:
        """Raises AccessTokenMissing, AccessTokenInvalid, KeysUnavailable."""
        claims = await self._accounts.open(bearer_token(request.headers.get("authorization")))
        return AccountId(claims.account_id)
