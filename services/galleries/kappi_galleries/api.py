"""The public endpoints of galleries: parse, call one use case, answer."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Header, Path, Request, Security
from fastapi.security import APIKeyHeader
from kappi_chassis.http import json_response
from kappi_chassis.http.app import problems
from kappi_chassis.idempotency import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    IdempotentCall,
    StoredAnswer,
)
from kappi_chassis.problems import FieldError, MalformedJson, ValidationFailed
from starlette.responses import Response

from kappi_galleries.domain import LifetimeRefused
from kappi_galleries.errors import (
    AccountRequired,
    CodesExhausted,
    GalleryKeyMissing,
    GalleryKeyWrong,
    GalleryNotFound,
)
from kappi_galleries.links import Links
from kappi_galleries.schemas import GalleryAnswer, GalleryCreate, GalleryCreatedAnswer, GalleryPatch
from kappi_galleries.use_cases.creation import CreatedGallery, GalleryCreation, GalleryWish
from kappi_galleries.use_cases.management import GalleryChange, GalleryManagement, TitleChange

CREATE_SCOPE = "POST /v1/galleries"
_NO_STORE = {"Cache-Control": "no-store"}

_key_header = APIKeyHeader(
    name="X-Gallery-Key",
    scheme_name="GalleryKey",
    description="The access key that the creation of an anonymous gallery returned",
    auto_error=False,
)
GalleryKey = Annotated[str | None, Security(_key_header)]
GalleryIdPath = Annotated[UUID, Path(description="The gallery's id")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="A random text of 8 to 255 characters, best a UUID, chosen per gallery wanted: a retry "
        "with the same key and body gets the first answer again, access key included, and makes nothing new. "
        "Kept for a day",
    ),
]
_KEY_PROBLEMS = (GalleryKeyMissing, GalleryKeyWrong, GalleryNotFound)


class GalleryApi:
    """The handlers, with what they call."""

    def __init__(
        self,
        *,
        creation: GalleryCreation,
        management: GalleryManagement,
        links: Links,
        idempotency_secret: bytes,
    ) -> None:
        self._creation = creation
        self._management = management
        self._links = links
        self._idempotency_secret = idempotency_secret

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Galleries"])
        router.add_api_route("/v1/galleries", self.create, methods=["POST"], **_CREATE)
        router.add_api_route("/v1/galleries/{gallery_id}", self.read, methods=["GET"], **_READ)
        router.add_api_route("/v1/galleries/{gallery_id}", self.change, methods=["PATCH"], **_CHANGE)
        router.add_api_route("/v1/galleries/{gallery_id}", self.remove, methods=["DELETE"], **_REMOVE)
        return router

    async def create(
        self,
        request: Request,
        body: Annotated[GalleryCreate | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        wish = _wish(body or GalleryCreate())
        try:
            if idempotency_key is None:
                answer = self._created(await self._creation.create(wish))
            else:
                call = IdempotentCall(
                    secret=self._idempotency_secret,
                    key=idempotency_key,
                    scope=CREATE_SCOPE,
                    body=await request.body(),
                )
                answer = await self._creation.create_once(call, wish, render=self._created)
        except LifetimeRefused as refused:
            raise _refused_lifetime(refused) from refused
        return json_response(answer.body, status=answer.status, headers=_NO_STORE)

    async def read(self, gallery_id: GalleryIdPath, key: GalleryKey) -> Response:
        gallery = await self._management.read(gallery_id, _present(key))
        return self._answer(GalleryAnswer.of(gallery, self._links))

    async def change(self, gallery_id: GalleryIdPath, key: GalleryKey, body: GalleryPatch) -> Response:
        access_key = _present(key)
        _require_anonymous(body)
        title = TitleChange(title=body.title) if "title" in body.model_fields_set else None
        change = GalleryChange(title=title, lifetime_s=body.expires_in)
        try:
            gallery = await self._management.change(gallery_id, access_key, change=change)
        except LifetimeRefused as refused:
            raise _refused_lifetime(refused) from refused
        return self._answer(GalleryAnswer.of(gallery, self._links))

    async def remove(self, gallery_id: GalleryIdPath, key: GalleryKey) -> Response:
        await self._management.remove(gallery_id, _present(key))
        return Response(status_code=204)

    def _created(self, created: CreatedGallery) -> StoredAnswer:
        gallery = GalleryAnswer.of(created.gallery, self._links)
        document = GalleryCreatedAnswer(**dict(gallery), access_key=created.access_key)
        return StoredAnswer(201, document.model_dump_json().encode())

    def _answer(self, document: GalleryAnswer) -> Response:
        return json_response(document.model_dump_json().encode(), headers=_NO_STORE)


def _wish(body: GalleryCreate) -> GalleryWish:
    _require_anonymous(body)
    return GalleryWish(title=body.title, lifetime_s=body.expires_in)


def _require_anonymous(body: GalleryCreate | GalleryPatch) -> None:
    wanted = {"visibility": body.visibility == "private", "password": body.password is not None}
    errors = tuple(
        FieldError(field=name, code=AccountRequired.code, message="This takes an account.")
        for name, asked in wanted.items()
        if asked
    )
    if errors:
        raise AccountRequired(
            "An anonymous gallery is shared by its code and has no password.", errors=errors
        )


def _present(key: str | None) -> str:
    if not key:
        raise GalleryKeyMissing("Send the gallery's access key as X-Gallery-Key.")
    return key


def _refused_lifetime(refused: LifetimeRefused) -> ValidationFailed:
    error = FieldError(field="expires_in", code="out_of_range", message=str(refused))
    return ValidationFailed("Look at: expires_in.", errors=(error,))


_CREATE: dict[str, Any] = {
    "operation_id": "createGallery",
    "summary": "Create an anonymous gallery",
    "description": "Needs no account. The answer holds the `access_key` that alone lets its holder add, "
    "change and delete: it is shown here once. Everybody else needs only the `code` or the `url`. The "
    "gallery and everything in it is deleted at `expires_at`.",
    "status_code": 201,
    "response_model": GalleryCreatedAnswer,
    "response_description": "The gallery, with its access key",
    "responses": problems(
        MalformedJson,
        IdempotencyKeyInvalid,
        ValidationFailed,
        AccountRequired,
        IdempotencyKeyReused,
        CodesExhausted,
    ),
}
_READ: dict[str, Any] = {
    "operation_id": "getGallery",
    "summary": "Read a gallery as its manager",
    "response_model": GalleryAnswer,
    "description": "To look at its items with the code alone, use `GET /v1/g/{code}`.",
    "response_description": "The gallery",
    "responses": problems(*_KEY_PROBLEMS, ValidationFailed),
}
_CHANGE: dict[str, Any] = {
    "operation_id": "updateGallery",
    "summary": "Rename a gallery or move its deadline",
    "description": "`expires_in` counts from now, so that 2592000 gives it 30 more days from here.",
    "response_model": GalleryAnswer,
    "response_description": "The gallery after the change",
    "responses": problems(MalformedJson, *_KEY_PROBLEMS, ValidationFailed, AccountRequired),
}
_REMOVE: dict[str, Any] = {
    "operation_id": "deleteGallery",
    "summary": "Delete a gallery and everything in it",
    "description": "At once for everybody who has the link; its files follow within moments. It cannot be "
    "undone. Repeating it is harmless.",
    "status_code": 204,
    "response_model": None,
    "response_description": "It is gone",
    "responses": problems(GalleryKeyMissing, GalleryKeyWrong, ValidationFailed),
}
