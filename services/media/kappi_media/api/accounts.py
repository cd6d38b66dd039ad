"""Identifies the calling account by its access token, for calls that are not about one gallery."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from kappi_chassis.auth.accounts import AccountVerifier, bearer_token

from kappi_media.domain.media import AccountId

# This only documents the scheme. `bearer_token` reads the header, because it distinguishes a missing token
# from an invalid one.
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
        """Returns the calling account. Raises AccessTokenMissing, AccessTokenInvalid, KeysUnavailable."""
        claims = await self._accounts.open(bearer_token(request.headers.get("authorization")))
        return AccountId(claims.account_id)
