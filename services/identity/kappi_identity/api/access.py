"""Identifies the caller: the bearer of an access token, an administrator, or a client at an address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing, AccountVerifier
from kappi_chassis.clock import Clock
from kappi_chassis.http.client_address import client_address
from kappi_chassis.pagination import cursor_query
from starlette.requests import Request

from kappi_identity.domain.accounts import Account, SessionId, describe_device
from kappi_identity.errors import AdminRequired
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.use_cases.password_check import Client

CALLER_PROBLEMS = (AccessTokenMissing, AccessTokenInvalid)

_bearer = HTTPBearer(
    scheme_name="AccessToken",
    bearerFormat="JWT",
    description="The access token that `POST /v1/oauth/token` returned",
    auto_error=False,
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most")]
Cursor = Annotated[str | None, cursor_query(max_length=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A living account and the session from which its token came."""

    account: Account
    session_id: SessionId


class Access:
    """Identifies accounts by token.

    In this service a token is void once its session ended, since the sessions are stored here.
    """

    def __init__(self, *, verifier: AccountVerifier, accounts: AccountQueries, clock: Clock) -> None:
        self._verifier = verifier
        self._accounts = accounts
        self._clock = clock

    async def caller(self, bearer: HTTPAuthorizationCredentials | None) -> Caller:
        """Returns the account of the token.

        Raises AccessTokenMissing, AccessTokenInvalid, KeysUnavailable.
        """
        if bearer is None:
            raise AccessTokenMissing
        claims = await self._verifier.open(bearer.credentials)
        account = await self._accounts.of_session(claims.account_id, claims.session_id, now=self._clock())
        if account is None:
            raise AccessTokenInvalid("Its session has ended.")
        return Caller(account=account, session_id=SessionId(claims.session_id))

    async def admin(self, bearer: HTTPAuthorizationCredentials | None) -> Caller:
        """Returns the administrator. Raises as `caller` does, and AdminRequired."""
        caller = await self.caller(bearer)
        if caller.account.role != "admin":
            raise AdminRequired
        return caller


def client_of(request: Request, *, device_token: str | None = None) -> Client:
    """Returns the client as the gateway saw it."""
    return Client(
        address=client_address(request),
        device=describe_device(request.headers.get("user-agent")),
        device_token=device_token,
    )
