"""The endpoints `/v1/oauth/…` and the published keys."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from kappi_chassis.http import JsonResponse, json_response
from kappi_chassis.http.app import problems
from kappi_chassis.http.documents import NO_STORE
from kappi_chassis.passwords import PasswordsBusy
from starlette.responses import Response

from kappi_identity.api.access import client_of
from kappi_identity.api.forms import FORM, read_form, required
from kappi_identity.api.schemas import TokenAnswer
from kappi_identity.domain.tokens import TokenPair
from kappi_identity.errors import (
    AccountSuspended,
    InvalidGrant,
    OAuthFailure,
    TooManyLogins,
    UnsupportedGrantType,
)
from kappi_identity.use_cases.keyring import Keyring
from kappi_identity.use_cases.log_in import LogIn
from kappi_identity.use_cases.refresh_tokens import RefreshTokens
from kappi_identity.use_cases.revoke_session import RevokeToken

BEARER = "Bearer"
# Verifiers fetch the keys again when they meet an unknown key, so caches in between may keep the answer.
_JWKS_HEADERS = {"Cache-Control": "public, max-age=60"}


class OAuthApi:
    def __init__(
        self, *, log_in: LogIn, refresh_tokens: RefreshTokens, revoke_token: RevokeToken, keyring: Keyring
    ) -> None:
        self._log_in = log_in
        self._refresh_tokens = refresh_tokens
        self._revoke_token = revoke_token
        self._keyring = keyring

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Accounts"])
        router.add_api_route("/v1/oauth/token", self.token, methods=["POST"], **_TOKEN)
        router.add_api_route("/v1/oauth/revoke", self.revoke, methods=["POST"], **_REVOKE)
        router.add_api_route("/.well-known/jwks.json", self.jwks, methods=["GET"], **_JWKS)
        return router

    async def token(self, request: Request) -> Response:
        form = await read_form(request)
        grant_type = required(form, "grant_type")
        if grant_type == "password":
            return _tokens(await self._by_password(request, form))
        if grant_type == "refresh_token":
            return _tokens(await self._refresh_tokens(required(form, "refresh_token")))
        raise UnsupportedGrantType("Use `password` or `refresh_token`.")

    async def revoke(self, request: Request) -> Response:
        await self._revoke_token(required(await read_form(request), "token"))
        return Response(status_code=200, headers=dict(NO_STORE))

    async def jwks(self) -> Response:
        return JsonResponse(await self._keyring.published(), headers=_JWKS_HEADERS)

    async def _by_password(self, request: Request, form: dict[str, str]) -> TokenPair:
        return await self._log_in(
            required(form, "username"),
            required(form, "password"),
            client=client_of(request, device_token=form.get("device_token")),
        )


def _tokens(pair: TokenPair) -> Response:
    answer = TokenAnswer(
        access_token=pair.access_token,
        token_type=BEARER,
        expires_in=pair.expires_in,
        refresh_token=pair.refresh_token,
        device_token=pair.device_token,
    )
    body = answer.model_dump_json(exclude_none=True).encode()
    return json_response(body, headers={**NO_STORE, "Pragma": "no-cache"})


def _form(properties: dict[str, Any], *, required: list[str], example: dict[str, str]) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema, "example": example}}}}


_TOKEN: dict[str, Any] = {
    "operation_id": "issueTokens",
    "summary": "Log in, or refresh tokens",
    "description": "OAuth 2 (RFC 6749), password and refresh grants. A refresh token is valid once. Its "
    "second use ends the whole login, because the token may have been stolen. The exception is a repetition "
    "within seconds, since the answer to the first use may have been lost: the repetition gets new tokens, "
    "and those of the first use are void.\n\n"
    "Wrong passwords are limited for each account. A client that logged in to the account before (90 days, "
    "a setting), from the same address or with the `device_token` of that login, has a limit of its own. All "
    "other clients share one limit, whatever their addresses. So wrong guesses lock out only clients at new "
    "addresses. Such a client can log in with a `device_token`, or set a new password by mail, which makes "
    "its address known.",
    "response_model": TokenAnswer,
    "response_description": "The tokens",
    "responses": problems(
        OAuthFailure, InvalidGrant, AccountSuspended, UnsupportedGrantType, TooManyLogins, PasswordsBusy
    ),
    "openapi_extra": _form(
        {
            "grant_type": {"type": "string", "enum": ["password", "refresh_token"]},
            "username": {"type": "string", "description": "The email address, for `password`"},
            "password": {"type": "string", "format": "password", "description": "For `password`"},
            "device_token": {
                "type": "string",
                "description": "For `password`: the token of this device's last login to the account, if any",
            },
            "refresh_token": {"type": "string", "description": "For `refresh_token`"},
        },
        required=["grant_type"],
        example={
            "grant_type": "password",
            "username": "ada@example.com",
            "password": "correct horse battery staple",
        },
    ),
}
_REVOKE: dict[str, Any] = {
    "operation_id": "revokeToken",
    "summary": "Log out",
    "description": "Ends the login of a refresh token (RFC 7009). An unknown or void token gets the same "
    "answer. Access tokens that were issued before stay valid until they expire.",
    "response_model": None,
    "response_class": Response,  # no body, so none is documented
    "response_description": "The token is void",
    "responses": problems(OAuthFailure),
    "openapi_extra": _form(
        {"token": {"type": "string", "description": "The refresh token"}},
        required=["token"],
        example={"token": "kappi_rt_…"},
    ),
}
_JWKS: dict[str, Any] = {
    "operation_id": "getKeys",
    "summary": "Get the keys that verify access tokens",
    "description": "A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037): the active key, the next key, "
    "and the keys whose last tokens have not expired. Fetch the set again when a token names a key that is "
    "not in it.",
    "response_model": dict[str, list[dict[str, str]]],
    "response_description": "The key set",
}
