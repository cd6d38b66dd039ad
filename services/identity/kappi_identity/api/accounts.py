"""The endpoints for signing up and for resetting a forgotten password."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from kappi_chassis.http.app import problems
from kappi_chassis.http.client_address import client_address
from kappi_chassis.http.documents import stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotentCalls, SecretIdempotencyKey
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused, StoredAnswer
from kappi_chassis.passwords import PasswordsBusy
from kappi_chassis.problems import FieldError, MalformedJson, ValidationFailed
from starlette.responses import Response

from kappi_identity.api.schemas import AccountAnswer, AccountCreate, ResetBody, ResetRequestBody
from kappi_identity.domain.accounts import Account, TextRefused, check_password, normal_password
from kappi_identity.domain.common_passwords import common_passwords
from kappi_identity.domain.email_address import read_email
from kappi_identity.errors import EmailTaken, ResetTokenInvalid, SignUpClosed, TooManyResets
from kappi_identity.use_cases.reset_password import RequestPasswordReset, ResetPassword
from kappi_identity.use_cases.sign_up import NewAccount, SignUp

CREATE_SCOPE = "POST /v1/accounts"
ResetToken = Annotated[str, Path(max_length=200, description="The token from the mail")]


class AccountApi:
    def __init__(
        self,
        *,
        sign_up: SignUp,
        request_reset: RequestPasswordReset,
        reset_password: ResetPassword,
        calls: IdempotentCalls,
    ) -> None:
        self._sign_up = sign_up
        self._request_reset = request_reset
        self._reset_password = reset_password
        self._calls = calls

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Accounts"])
        router.add_api_route("/v1/accounts", self.create, methods=["POST"], **_CREATE)
        router.add_api_route("/v1/password-resets", self.request_reset, methods=["POST"], **_REQUEST)
        router.add_api_route("/v1/password-resets/{token}", self.finish_reset, methods=["PUT"], **_FINISH)
        return router

    async def create(
        self, request: Request, body: AccountCreate, idempotency_key: SecretIdempotencyKey = None
    ) -> Response:
        new, address = _new_account(body), client_address(request)
        call = await self._calls.read_secret(request, idempotency_key, scope=CREATE_SCOPE, caller="")
        return stored_response(await self._sign_up.idempotently(new, call, address=address, render=_created))

    async def request_reset(self, request: Request, body: ResetRequestBody) -> Response:
        await self._request_reset(body.email, address=client_address(request))
        return Response(status_code=202)

    async def finish_reset(self, request: Request, token: ResetToken, body: ResetBody) -> Response:
        try:
            await self._reset_password(token, body.password, address=client_address(request))
        except TextRefused as refused:
            raise refused_password(refused) from refused
        return Response(status_code=204)


def refused_password(refused: TextRefused) -> ValidationFailed:
    """Returns a refused new password as an error of its field."""
    error = FieldError(field="password", code=refused.code, message=str(refused))
    return ValidationFailed("Look at: password.", errors=(error,))


def _new_account(body: AccountCreate) -> NewAccount:
    email, password = read_email(body.email), normal_password(body.password)
    try:
        check_password(password, email=email.shown, common=common_passwords())
    except TextRefused as refused:
        raise refused_password(refused) from refused
    return NewAccount(email=email, password=password, display_name=body.display_name)


def _created(account: Account) -> StoredAnswer:
    return stored_document(AccountAnswer.of(account), status=201)


_CREATE: dict[str, Any] = {
    "operation_id": "createAccount",
    "summary": "Sign up",
    "description": "The email address is the account's name; upper and lower case do not matter. Log in with "
    "`POST /v1/oauth/token`.",
    "status_code": 201,
    "response_model": AccountAnswer,
    "response_description": "The account",
    "responses": problems(
        MalformedJson,
        IdempotencyKeyInvalid,
        EmailTaken,
        SignUpClosed,
        ValidationFailed,
        IdempotencyKeyReused,
        PasswordsBusy,
    ),
}
_REQUEST: dict[str, Any] = {
    "operation_id": "requestPasswordReset",
    "summary": "Request a new password",
    "description": "Mails a token if there is such an account. The token is valid once, for half an hour. "
    "The answer is the same without such an account.",
    "status_code": 202,
    "response_model": None,
    "response_class": Response,  # no body, so none is documented
    "response_description": "The request is accepted",
    "responses": problems(MalformedJson, ValidationFailed, TooManyResets),
}
_FINISH: dict[str, Any] = {
    "operation_id": "resetPassword",
    "summary": "Set a new password with a mailed token",
    "description": "Ends every login of the account. The client's address is then known to the account, so "
    "that wrong passwords of other clients do not delay its login (`POST /v1/oauth/token`).",
    "status_code": 204,
    "response_model": None,
    "response_class": Response,  # no body, so none is documented
    "response_description": "The password is changed",
    "responses": problems(MalformedJson, ResetTokenInvalid, ValidationFailed, PasswordsBusy),
}
