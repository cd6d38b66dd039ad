"""The endpoints of an account's owner."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from kappi_chassis.clock import Clock
from kappi_chassis.http.app import problems
from kappi_chassis.http.documents import document_response
from kappi_chassis.pagination import page_by_id, position_of
from kappi_chassis.passwords import PasswordsBusy
from kappi_chassis.problems import MalformedJson, ValidationFailed
from starlette.responses import Response

from kappi_identity.api.access import CALLER_PROBLEMS, Access, Bearer, Cursor, Limit, client_of
from kappi_identity.api.accounts import refused_password
from kappi_identity.api.schemas import (
    AccountAnswer,
    AccountDeletion,
    AccountPatch,
    PasswordChange,
    SessionAnswer,
    SessionPage,
)
from kappi_identity.domain.accounts import TextRefused
from kappi_identity.errors import PasswordRequired, PasswordWrong, SessionNotFound, TooManyLogins
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.repository.sessions import SessionQueries
from kappi_identity.use_cases.change_password import ChangePassword
from kappi_identity.use_cases.delete_account import DeleteAccount
from kappi_identity.use_cases.revoke_session import RevokeSession

SessionIdPath = Annotated[UUID, Path(description="The session's id")]


class MeApi:
    def __init__(
        self,
        *,
        access: Access,
        accounts: AccountQueries,
        change_password: ChangePassword,
        delete_account: DeleteAccount,
        sessions: SessionQueries,
        revoke_session: RevokeSession,
        clock: Clock,
    ) -> None:
        self._access = access
        self._accounts = accounts
        self._change_password = change_password
        self._delete_account = delete_account
        self._sessions = sessions
        self._revoke_session = revoke_session
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Accounts"])
        router.add_api_route("/v1/me", self.read, methods=["GET"], **_READ)
        router.add_api_route("/v1/me", self.change, methods=["PATCH"], **_CHANGE)
        router.add_api_route("/v1/me", self.remove, methods=["DELETE"], **_REMOVE)
        router.add_api_route("/v1/me/password", self.change_password, methods=["PUT"], **_PASSWORD)
        router.add_api_route("/v1/me/sessions", self.list_sessions, methods=["GET"], **_SESSIONS)
        router.add_api_route(
            "/v1/me/sessions/{session_id}", self.end_session, methods=["DELETE"], **_END_SESSION
        )
        return router

    async def read(self, bearer: Bearer) -> Response:
        caller = await self._access.caller(bearer)
        return document_response(AccountAnswer.of(caller.account))

    async def change(self, bearer: Bearer, body: AccountPatch) -> Response:
        account = (await self._access.caller(bearer)).account
        if "display_name" in body.model_fields_set:
            await self._accounts.rename(account.id, body.display_name)
            account = replace(account, display_name=body.display_name)
        return document_response(AccountAnswer.of(account))

    async def remove(self, request: Request, bearer: Bearer, body: AccountDeletion | None = None) -> Response:
        caller = await self._access.caller(bearer)
        await self._delete_account(
            caller.account,
            password=body.password if body is not None else None,
            session_id=caller.session_id,
            address=client_of(request).address,
        )
        return Response(status_code=204)

    async def change_password(self, request: Request, bearer: Bearer, body: PasswordChange) -> Response:
        caller = await self._access.caller(bearer)
        try:
            await self._change_password(
                caller.account,
                current=body.current_password,
                new=body.password,
                session_id=caller.session_id,
                address=client_of(request).address,
            )
        except TextRefused as refused:
            raise refused_password(refused) from refused
        return Response(status_code=204)

    async def list_sessions(self, bearer: Bearer, limit: Limit = 50, cursor: Cursor = None) -> Response:
        caller = await self._access.caller(bearer)
        now, before = self._clock(), position_of(cursor)
        found = await self._sessions.page(caller.account.id, now=now, before=before, limit=limit + 1)
        page, next_cursor = page_by_id(found, limit=limit)
        items = [SessionAnswer.of(session, current=caller.session_id, now=now) for session in page]
        return document_response(SessionPage(items=items, next_cursor=next_cursor))

    async def end_session(self, bearer: Bearer, session_id: SessionIdPath) -> Response:
        caller = await self._access.caller(bearer)
        await self._revoke_session(session_id, account_id=caller.account.id)
        return Response(status_code=204)


_READ: dict[str, Any] = {
    "operation_id": "getMe",
    "summary": "Read my account",
    "description": "The account whose access token is sent.",
    "response_model": AccountAnswer,
    "response_description": "The account",
    "responses": problems(*CALLER_PROBLEMS),
}
_CHANGE: dict[str, Any] = {
    "operation_id": "updateMe",
    "summary": "Change my display name",
    "description": "A field that is not sent stays as it is.",
    "response_model": AccountAnswer,
    "response_description": "The account after the change",
    "responses": problems(MalformedJson, *CALLER_PROBLEMS, ValidationFailed),
}
_REMOVE: dict[str, Any] = {
    "operation_id": "deleteMe",
    "summary": "Delete my account and everything it owns",
    "description": "The account and its logins are deleted at once; its galleries, pictures and files are "
    "deleted within seconds. It cannot be undone. The `password` is needed, too, if the login of the token "
    "is some minutes old; a refresh does not renew a login. A client that cannot send a body with `DELETE` "
    "must log in again first.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The account is deleted",
    "responses": problems(
        MalformedJson,
        *CALLER_PROBLEMS,
        PasswordRequired,
        PasswordWrong,
        ValidationFailed,
        TooManyLogins,
        PasswordsBusy,
    ),
}
_PASSWORD: dict[str, Any] = {
    "operation_id": "changePassword",
    "summary": "Change my password",
    "description": "Ends every other login of the account.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The password is changed",
    "responses": problems(
        MalformedJson, *CALLER_PROBLEMS, PasswordWrong, ValidationFailed, TooManyLogins, PasswordsBusy
    ),
}
_SESSIONS: dict[str, Any] = {
    "operation_id": "listSessions",
    "summary": "List my logins",
    "description": "The newest first.",
    "response_model": SessionPage,
    "response_description": "A page of logins",
    "responses": problems(*CALLER_PROBLEMS, ValidationFailed),
}
_END_SESSION: dict[str, Any] = {
    "operation_id": "endSession",
    "summary": "End another login",
    "description": "The refresh token of the login is void. Its access token stays valid for some minutes.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The login has ended",
    "responses": problems(*CALLER_PROBLEMS, SessionNotFound, ValidationFailed),
}
