"""Identifies the caller from the headers and checks the access token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from kappi_chassis.auth.accounts import AccountVerifier, bearer_token
from kappi_contracts.accounts import AccountClaims

from kappi_galleries.domain.posts import Caller
from kappi_galleries.errors import AdminRequired, GalleryKeyMissing
from kappi_galleries.use_cases.access import Manager

KEY_HEADER = "X-Gallery-Key"

_key_header = APIKeyHeader(
    name=KEY_HEADER,
    scheme_name="GalleryKey",
    description="The access key that the creation of an anonymous gallery returned",
    auto_error=False,
)
# Documents the scheme only. `bearer_token` reads the header, because it distinguishes a missing token from a
# malformed one.
_bearer = HTTPBearer(
    scheme_name="AccountToken",
    bearerFormat="JWT",
    description="An access token from `POST /v1/oauth/token`",
    auto_error=False,
)

GalleryKey = Annotated[str | None, Security(_key_header)]
AccountToken = Annotated[object, Security(_bearer)]


class Callers:
    """Reads callers from requests. A token that is sent must be valid, whatever else is sent or asked for."""

    def __init__(self, accounts: AccountVerifier) -> None:
        self._accounts = accounts

    async def claims(self, request: Request) -> AccountClaims:
        """Returns the claims of the token. Raises AccessTokenMissing, AccessTokenInvalid, KeysUnavailable."""
        return await self._accounts.open(bearer_token(request.headers.get("authorization")))

    async def account(self, request: Request) -> UUID:
        """Returns the account's id. Raises as `claims` does."""
        return (await self.claims(request)).account_id

    async def author(self, request: Request) -> Caller:
        """Returns the account as an author. Raises as `claims` does."""
        claims = await self.claims(request)
        return Caller(
            account_id=claims.account_id,
            display_name=claims.display_name,
            named_at=datetime.fromtimestamp(claims.issued_at, UTC),
            is_admin=claims.role == "admin",
        )

    async def account_if_any(self, request: Request) -> UUID | None:
        """Returns None without an `Authorization` header. Raises as `account` does."""
        return await self.account(request) if "authorization" in request.headers else None

    async def admin(self, request: Request) -> None:
        """Check the token's role. A role that was taken away ends with the token, some minutes later.

        Raises AdminRequired, and as `account` does.
        """
        token = bearer_token(request.headers.get("authorization"))
        if (await self._accounts.open(token)).role != "admin":
            raise AdminRequired

    async def manager(self, request: Request, key: str | None) -> Manager:
        """Returns the caller as a manager.

        Raises GalleryKeyMissing with neither a token nor a key, and as `account` does.
        """
        account_id = await self.account_if_any(request)
        if account_id is None:
            return Manager(access_key=present(key))
        return Manager(account_id=account_id, access_key=key or None)


def present(key: str | None) -> str:
    """Returns the key. Raises GalleryKeyMissing."""
    if not key:
        raise GalleryKeyMissing(
            "Send the gallery's access key as X-Gallery-Key, or its owner's token as Authorization: Bearer."
        )
    return key
