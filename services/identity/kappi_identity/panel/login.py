"""Logging into the panel with an administrator's email and password, throttled like any other login."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer
from kappi_chassis.clock import Clock
from kappi_chassis.problems import Problem
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin.auth import AdminUser, AuthProvider, LoginFailed
from starlette_admin.helpers import index_url, safe_redirect_url

from kappi_identity.api.access import client_of
from kappi_identity.domain.accounts import AccountId, SessionPolicy
from kappi_identity.errors import AccountSuspended, InvalidGrant, SessionNotFound
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.use_cases.log_in import OpenSession
from kappi_identity.use_cases.password_check import WRONG
from kappi_identity.use_cases.revoke_session import RevokeSession

COOKIE = "kappi_admin"
DEVICE_COOKIE = "kappi_admin_device"
PATH = "/admin"
_SALT = "kappi admin session"


class PanelLogin(AuthProvider):
    """Panel logins by cookie. The cookie names a session in the database, which every request looks up.

    So access ends at once when the session ends, the account loses its role, or its password changes. A
    second cookie outlives log-outs: it makes the browser a known device, which guesses of other clients do
    not lock out. secret: signs the first cookie.
    """

    def __init__(
        self,
        *,
        open_session: OpenSession,
        revoke_session: RevokeSession,
        accounts: AccountQueries,
        policy: SessionPolicy,
        device_known_for: timedelta,
        secret: bytes,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._open_session = open_session
        self._revoke_session = revoke_session
        self._accounts = accounts
        self._policy = policy
        self._device_known_for = device_known_for
        self._signed = URLSafeSerializer(secret, salt=_SALT)
        self._clock = clock

    async def login(self, username: str, password: str, remember_me: bool, request: Request) -> Response:
        """Log in and set the cookies.

        Raises LoginFailed. remember_me: ignored; every panel session has the same length.
        """
        try:
            client = client_of(request, device_token=request.cookies.get(DEVICE_COOKIE))
            opened = await self._open_session(
                username, password, client=client, policy=self._policy, role="admin"
            )
        except (InvalidGrant, AccountSuspended) as refused:
            raise LoginFailed(WRONG) from refused
        except Problem as refused:
            raise LoginFailed(f"{refused.title}. {refused.detail}") from refused
        start = str(index_url(request))
        response = RedirectResponse(
            safe_redirect_url(request.query_params.get("next") or start, request, start), status_code=303
        )
        session = self._signed.dumps([str(opened.account.id), str(opened.session.id)])
        self._set_cookie(request, response, COOKIE, session, lasting=self._policy.longest)
        self._set_cookie(
            request, response, DEVICE_COOKIE, opened.device_token, lasting=self._device_known_for
        )
        return response

    async def authenticate(self, request: Request) -> AdminUser | None:
        named = self._named(request)
        if named is None:
            return None
        account_id, session_id = named
        account = await self._accounts.of_session(account_id, session_id, now=self._clock())
        if account is None or account.role != "admin":
            return None
        request.state.admin_id = account.id
        return AdminUser(username=account.email or "")

    async def logout(self, request: Request) -> Response:
        named = self._named(request)
        if named is not None:
            account_id, session_id = named
            with suppress(SessionNotFound):
                await self._revoke_session(session_id, account_id=AccountId(account_id))
        response = RedirectResponse(index_url(request), status_code=303)
        response.delete_cookie(COOKIE, path=_path_of(request))
        return response

    def _set_cookie(
        self, request: Request, response: Response, name: str, value: str, *, lasting: timedelta
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=int(lasting.total_seconds()),
            path=_path_of(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def _named(self, request: Request) -> tuple[UUID, UUID] | None:
        try:
            account_id, session_id = self._signed.loads(request.cookies.get(COOKIE, ""))
        except BadSignature:
            return None
        return UUID(account_id), UUID(session_id)


def _path_of(request: Request) -> str:
    """Returns the panel's path as browsers see it; the gateway may be below a path."""
    path: str = request.scope["root_path"]
    return path
