"""The endpoints for the gateway and the other services. They are never routed to the public."""

from __future__ import annotations

import re
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from fastapi import FastAPI
from kappi_chassis.auth import SigningKey, jwks_document
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccountVerifier
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http import JsonResponse, hot_route
from kappi_chassis.http.app import problems
from kappi_chassis.passwords import PasswordsBusy
from kappi_chassis.problems import FieldError, MalformedJson, ValidationFailed
from starlette.requests import Request
from starlette.responses import Response

from kappi_galleries.errors import (
    ContributorKeyWrong,
    GalleryKeyWrong,
    GalleryNotFound,
    GalleryPasswordRequired,
    GalleryPasswordWrong,
    GalleryTakenDown,
    TooManyPasswordAttempts,
)
from kappi_galleries.use_cases.count_accesses import CheckPreview, CountDownload, CountView
from kappi_galleries.use_cases.issue_grants import (
    IssueContributorGrant,
    IssueKeyGrant,
    IssueOwnerGrant,
    IssueViewGrant,
)

T = TypeVar("T")
_FIELD = re.compile(r"`\$\.(\w+)|required field `(\w+)`")


class ViewRequest(msgspec.Struct, frozen=True):
    """A request to view. code: as it was typed; case and surrounding white space do not matter.

    client: the client that wrong passwords are counted for, namely the address or network by which limits
    count.
    """

    code: str
    password: str | None = None
    client: str | None = None


class KeyRequest(msgspec.Struct, frozen=True):
    access_key: str


class ContributorRequest(msgspec.Struct, frozen=True):
    contributor_key: str


class OwnerRequest(msgspec.Struct, frozen=True):
    """An owner's request to manage. token: an access token, without the scheme before it."""

    gallery_id: UUID
    token: str


class InternalApi:
    """The endpoints that issue grants, and the keys that verify them."""

    def __init__(
        self,
        *,
        issue_view_grant: IssueViewGrant,
        issue_owner_grant: IssueOwnerGrant,
        issue_key_grant: IssueKeyGrant,
        issue_contributor_grant: IssueContributorGrant,
        count_view: CountView,
        count_download: CountDownload,
        check_preview: CheckPreview,
        accounts: AccountVerifier,
        key: SigningKey,
    ) -> None:
        self._count_view = count_view
        self._count_download = count_download
        self._check_preview = check_preview
        self._issue_view_grant = issue_view_grant
        self._issue_owner_grant = issue_owner_grant
        self._issue_key_grant = issue_key_grant
        self._issue_contributor_grant = issue_contributor_grant
        self._accounts = accounts
        self._jwks = jwks_document(key)
        self._view = msgspec.json.Decoder(ViewRequest)
        self._key = msgspec.json.Decoder(KeyRequest)
        self._contributor = msgspec.json.Decoder(ContributorRequest)
        self._owner = msgspec.json.Decoder(OwnerRequest)

    def mount(self, app: FastAPI) -> None:
        hot_route(app, "/internal/grants/view", self.grant_view, method="POST", openapi=_VIEW)
        hot_route(app, "/internal/grants/key", self.grant_by_key, method="POST", openapi=_KEY)
        path = "/internal/grants/contributor"
        hot_route(app, path, self.grant_contributor, method="POST", openapi=_CONTRIBUTOR)
        hot_route(app, "/internal/grants/owner", self.grant_owner, method="POST", openapi=_OWNER)
        one = "/internal/galleries/{gallery_id}"
        app.add_api_route(f"{one}/views", self.count_view, methods=["POST"], **_COUNT_VIEW)
        app.add_api_route(f"{one}/downloads", self.count_download, methods=["POST"], **_COUNT_DOWNLOAD)
        app.add_api_route(f"{one}/previews", self.check_preview, methods=["POST"], **_CHECK_PREVIEW)
        hot_route(app, "/internal/jwks.json", self.jwks, method="GET", openapi=_JWKS)

    async def grant_view(self, request: Request) -> Response:
        asked = _parse(self._view, await request.body())
        grant = await self._issue_view_grant(asked.code, password=asked.password, client=asked.client)
        return JsonResponse(grant)

    async def grant_by_key(self, request: Request) -> Response:
        asked = _parse(self._key, await request.body())
        return JsonResponse(await self._issue_key_grant(asked.access_key))

    async def grant_contributor(self, request: Request) -> Response:
        asked = _parse(self._contributor, await request.body())
        return JsonResponse(await self._issue_contributor_grant(asked.contributor_key))

    async def grant_owner(self, request: Request) -> Response:
        asked = _parse(self._owner, await request.body())
        claims = await self._accounts.open(asked.token)
        return JsonResponse(await self._issue_owner_grant(asked.gallery_id, claims))

    async def count_view(self, gallery_id: UUID) -> Response:
        await self._count_view(gallery_id)
        return Response(status_code=204)

    async def count_download(self, gallery_id: UUID) -> Response:
        await self._count_download(gallery_id)
        return Response(status_code=204)

    async def check_preview(self, gallery_id: UUID) -> Response:
        await self._check_preview(gallery_id)
        return Response(status_code=204)

    async def jwks(self, _: Request) -> Response:
        return JsonResponse(self._jwks)


def _parse(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        found = _FIELD.search(str(error))
        field = (found[1] or found[2]) if found else ""
        problem = FieldError(field=field, code="invalid", message=str(error))
        raise ValidationFailed(f"Look at: {field or 'the body'}.", errors=(problem,)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJson("The body could not be parsed as JSON.") from error


def _operation(
    *, summary: str, description: str, body: dict[str, Any], required: tuple[str, ...], failures: Any
) -> dict[str, Any]:
    return {
        "summary": summary,
        "description": description,
        "tags": ["Internal"],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": list(required),
                        "properties": {name: {"type": "string"} for name in body},
                    },
                    "example": body,
                }
            },
        },
        "responses": {"200": _GRANT_ANSWER, **{str(status): answer for status, answer in failures.items()}},
    }


_GRANT_ANSWER: dict[str, Any] = {
    "description": "The grant, a signed token, and how long it may be used",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": [
                    "grant",
                    "expires_in",
                    "gallery_id",
                    "gallery_expires_at",
                    "summary",
                    "hides_items",
                ],
                "properties": {
                    "grant": {"type": "string", "description": "For the header X-Kappi-Grant"},
                    "expires_in": {"type": "integer", "description": "Seconds"},
                    "gallery_id": {"type": "string", "format": "uuid"},
                    "gallery_expires_at": {"type": ["string", "null"], "format": "date-time"},
                    "summary": {"type": "object", "description": "For the page of the gallery"},
                    "hides_items": {"type": "boolean", "description": "Viewers see no items"},
                },
            }
        }
    },
}
_VIEW = _operation(
    summary="Issue a grant to view for a code",
    description="Unknown, private, expired and deleted galleries get one answer. Wrong passwords are counted "
    "for `client`, per gallery.",
    body={"code": "k7wq", "password": "open sesame", "client": "203.0.113.7"},
    required=("code",),
    failures=problems(
        MalformedJson,
        GalleryPasswordRequired,
        GalleryPasswordWrong,
        GalleryNotFound,
        ValidationFailed,
        TooManyPasswordAttempts,
        PasswordsBusy,
    ),
)
_KEY = _operation(
    summary="Issue a grant to manage for an access key",
    description="The answer is 404 only if the key's gallery is deleted or expired.",
    body={"access_key": "kappi_mfrggzdfmztwq2lknnwg23tpoa"},
    required=("access_key",),
    failures=problems(MalformedJson, GalleryKeyWrong, GalleryTakenDown, GalleryNotFound, ValidationFailed),
)
_CONTRIBUTOR = _operation(
    summary="Issue a grant to contribute for a contributor key",
    description="The answer is 404 if the code of the key's gallery opens nothing.",
    body={"contributor_key": "kappi_mfrggzdfmztwq2lknnwg23tpoa"},
    required=("contributor_key",),
    failures=problems(MalformedJson, ContributorKeyWrong, GalleryNotFound, ValidationFailed),
)
_OWNER = _operation(
    summary="Issue a grant to manage for an owner's token",
    description="The grant ends with the token at the latest. A gallery that the account does not own is "
    "answered 404, whether it exists or not.",
    body={"gallery_id": "01985c3e-9d3f-7d4e-b1d2-3c4d5e6f7a8b", "token": "eyJhbGciOiJFZERTQSJ9.e30.c2ln"},
    required=("gallery_id", "token"),
    failures=problems(
        MalformedJson,
        AccessTokenInvalid,
        GalleryTakenDown,
        GalleryNotFound,
        ValidationFailed,
        KeysUnavailable,
    ),
)
_COUNT_VIEW: dict[str, Any] = {
    "summary": "Count a view of a gallery against its caps",
    "description": "The answer is 404 when a cap is reached; then nothing is counted.",
    "tags": ["Internal"],
    "status_code": 204,
    "responses": problems(GalleryNotFound, ValidationFailed),
}
_COUNT_DOWNLOAD = {**_COUNT_VIEW, "summary": "Count a download from a gallery against its caps"}
_CHECK_PREVIEW = {
    **_COUNT_VIEW,
    "summary": "Check the caps of a gallery for a preview of it",
    "description": "The answer is 404 when a cap is reached. Nothing is counted.",
}
_JWKS: dict[str, Any] = {
    "summary": "The keys that verify grants",
    "description": "A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037).",
    "tags": ["Internal"],
    "responses": {
        "200": {"description": "The key set", "content": {"application/json": {"schema": {"type": "object"}}}}
    },
}
