"""What the gateway and the other services ask. Never routed to the public."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI
from kappi_chassis.auth import SigningKey, jwks_document
from kappi_chassis.http import JsonResponse, hot_route
from kappi_chassis.http.app import problems
from kappi_chassis.problems import FieldError, MalformedJson, ValidationFailed
from starlette.requests import Request
from starlette.responses import Response

from kappi_galleries.errors import GalleryKeyWrong, GalleryNotFound
from kappi_galleries.use_cases.granting import Granting

T = TypeVar("T")


class ViewRequest(msgspec.Struct, frozen=True):
    """code: as somebody typed it; case and surrounding white space do not matter."""

    code: str


class KeyRequest(msgspec.Struct, frozen=True):
    access_key: str


class InternalApi:
    """Grants, and the keys to check them with."""

    def __init__(self, *, granting: Granting, key: SigningKey) -> None:
        self._granting = granting
        self._jwks = jwks_document(key)
        self._view = msgspec.json.Decoder(ViewRequest)
        self._key = msgspec.json.Decoder(KeyRequest)

    def mount(self, app: FastAPI) -> None:
        hot_route(app, "/internal/grants/view", self.grant_view, method="POST", openapi=_VIEW)
        hot_route(app, "/internal/grants/key", self.grant_by_key, method="POST", openapi=_KEY)
        hot_route(app, "/internal/jwks.json", self.jwks, method="GET", openapi=_JWKS)

    async def grant_view(self, request: Request) -> Response:
        asked = _parse(self._view, await request.body(), field="code")
        return JsonResponse(await self._granting.for_code(asked.code))

    async def grant_by_key(self, request: Request) -> Response:
        asked = _parse(self._key, await request.body(), field="access_key")
        return JsonResponse(await self._granting.for_access_key(asked.access_key))

    async def jwks(self, _: Request) -> Response:
        return JsonResponse(self._jwks)


def _parse(decoder: msgspec.json.Decoder[T], body: bytes, *, field: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = FieldError(field=field, code="invalid", message=str(error))
        raise ValidationFailed(f"Look at: {field}.", errors=(problem,)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJson("The body could not be parsed as JSON.") from error


def _operation(*, summary: str, description: str, body: dict[str, Any], failures: Any) -> dict[str, Any]:
    name = next(iter(body))
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
                        "required": [name],
                        "properties": {name: {"type": "string"}},
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
                "required": ["grant", "expires_in", "gallery_id"],
                "properties": {
                    "grant": {"type": "string", "description": "For the header X-Kappi-Grant"},
                    "expires_in": {"type": "integer", "description": "Seconds"},
                    "gallery_id": {"type": "string", "format": "uuid"},
                },
            }
        }
    },
}
_VIEW = _operation(
    summary="Grant whoever has a code to view",
    description="Unknown, private, expired and deleted galleries get one answer.",
    body={"code": "k7wq"},
    failures=problems(MalformedJson, GalleryNotFound, ValidationFailed),
)
_KEY = _operation(
    summary="Grant the holder of an access key to manage",
    description="404 only for the key of a gallery that is deleted or expired.",
    body={"access_key": "kappi_mfrggzdfmztwq2lknnwg23tpoa"},
    failures=problems(MalformedJson, GalleryKeyWrong, GalleryNotFound, ValidationFailed),
)
_JWKS: dict[str, Any] = {
    "summary": "The keys grants are signed with",
    "description": "A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037).",
    "tags": ["Internal"],
    "responses": {
        "200": {"description": "The key set", "content": {"application/json": {"schema": {"type": "object"}}}}
    },
}
