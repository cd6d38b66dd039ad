"""The public endpoints of galleries."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Path, Request
from kappi_chassis.clock import Clock
from kappi_chassis.fair_queue import Shares
from kappi_chassis.http.client_address import address_subject, client_address
from kappi_chassis.http.documents import document_response, stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotentCalls, SecretIdempotencyKey
from kappi_chassis.idempotency import StoredAnswer
from kappi_chassis.pagination import Cursor, PageSize, page_by_id, position_of
from kappi_chassis.problems import FieldError, ValidationFailed
from kappi_chassis.time_left import with_seconds_left
from starlette.responses import Response

from kappi_galleries.api import operations
from kappi_galleries.api.access import AccountToken, Callers, GalleryKey
from kappi_galleries.api.schemas import (
    GalleryAnswer,
    GalleryCreate,
    GalleryCreatedAnswer,
    GalleryFields,
    GalleryPageAnswer,
    GalleryPatch,
)
from kappi_galleries.domain.galleries import DETAILS, Gallery, LifetimeRefused
from kappi_galleries.domain.links import Links
from kappi_galleries.errors import AccountRequired, ExpiryNotForAccounts
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.use_cases.access import read_managed
from kappi_galleries.use_cases.change_gallery import ChangeGallery, GalleryChange, PasswordChange
from kappi_galleries.use_cases.create_account_gallery import CreateAccountGallery, NewAccountGallery
from kappi_galleries.use_cases.create_gallery import CreateGallery, NewGallery
from kappi_galleries.use_cases.delete_gallery import DeleteGallery

CREATE_SCOPE = "POST /v1/galleries"
DEFAULT_LIMIT: Final = 100
PAGE_SIZE: Final = PageSize(500, rows="Galleries per page")

GalleryIdPath = Annotated[UUID, Path(description="The gallery's id")]
Limit = Annotated[int, PAGE_SIZE.query, PAGE_SIZE.clamp]


class GalleryApi:
    """The endpoints' handlers and the use cases they call."""

    def __init__(
        self,
        *,
        queries: GalleryQueries,
        create_gallery: CreateGallery,
        create_account_gallery: CreateAccountGallery,
        change_gallery: ChangeGallery,
        delete_gallery: DeleteGallery,
        callers: Callers,
        calls: IdempotentCalls,
        links: Links,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._create_gallery = create_gallery
        self._create_account_gallery = create_account_gallery
        self._change_gallery = change_gallery
        self._delete_gallery = delete_gallery
        self._callers = callers
        self._calls = calls
        self._links = links
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Galleries"])
        one = "/v1/galleries/{gallery_id}"
        router.add_api_route("/v1/galleries", self.create, methods=["POST"], **operations.CREATE)
        router.add_api_route("/v1/galleries", self.list_mine, methods=["GET"], **operations.LIST)
        router.add_api_route(one, self.read, methods=["GET"], **operations.READ)
        router.add_api_route(one, self.change, methods=["PATCH"], **operations.CHANGE)
        router.add_api_route(one, self.remove, methods=["DELETE"], **operations.REMOVE)
        return router

    async def create(
        self,
        request: Request,
        _token: AccountToken,
        body: Annotated[GalleryCreate | None, Body()] = None,
        idempotency_key: SecretIdempotencyKey = None,
    ) -> Response:
        account_id = await self._callers.account_if_any(request)
        new = body or GalleryCreate()
        if account_id is None:
            answer = await self._create_anonymous(request, new, idempotency_key)
        else:
            call = await self._calls.read_secret(
                request, idempotency_key, scope=CREATE_SCOPE, caller=str(account_id)
            )
            answer = await self._create_account_gallery(
                account_id,
                _new_account_gallery(new),
                shares=_shares(request, account_id),
                call=call,
                render=self._created,
            )
        shown = with_seconds_left(answer.body, now=self._clock())
        return stored_response(replace(answer, body=shown))

    async def list_mine(
        self, request: Request, _token: AccountToken, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        account_id = await self._callers.account(request)
        before = position_of(cursor)
        found = await self._queries.page_of_owner(account_id, before=before, limit=limit + 1)
        page, next_cursor = page_by_id(found, limit=limit)
        items = [self._shown(gallery) for gallery in page]
        return document_response(GalleryPageAnswer(items=items, next_cursor=next_cursor))

    async def read(
        self, request: Request, gallery_id: GalleryIdPath, _token: AccountToken, key: GalleryKey
    ) -> Response:
        manager = await self._callers.manager(request, key)
        gallery = await read_managed(self._queries, gallery_id, manager, now=self._clock())
        return document_response(self._shown(gallery))

    async def change(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        _token: AccountToken,
        key: GalleryKey,
        body: GalleryPatch,
    ) -> Response:
        manager = await self._callers.manager(request, key)
        try:
            gallery = await self._change_gallery(
                gallery_id, manager, change=_change(body), shares=_shares(request, manager.account_id)
            )
        except LifetimeRefused as refused:
            raise _refused_lifetime(refused) from refused
        return document_response(self._shown(gallery))

    async def remove(
        self, request: Request, gallery_id: GalleryIdPath, _token: AccountToken, key: GalleryKey
    ) -> Response:
        await self._delete_gallery(gallery_id, await self._callers.manager(request, key))
        return Response(status_code=204)

    async def _create_anonymous(
        self, request: Request, body: GalleryCreate, idempotency_key: str | None
    ) -> StoredAnswer:
        new = _new_gallery(body)
        call = await self._calls.read_secret(request, idempotency_key, scope=CREATE_SCOPE, caller="")
        try:
            return await self._create_gallery(new, call=call, render=self._created_anonymous)
        except LifetimeRefused as refused:
            raise _refused_lifetime(refused) from refused

    def _shown(self, gallery: Gallery) -> GalleryAnswer:
        return GalleryAnswer.of(gallery, self._links, now=self._clock())

    def _created(self, gallery: Gallery) -> StoredAnswer:
        return stored_document(self._shown(gallery), status=201)

    def _created_anonymous(self, gallery: Gallery, access_key: str) -> StoredAnswer:
        document = GalleryCreatedAnswer(**dict(self._shown(gallery)), access_key=access_key)
        return stored_document(document, status=201)


def _shares(request: Request, account_id: UUID | None) -> Shares:
    return Shares(
        address=address_subject(client_address(request)),
        account=None if account_id is None else str(account_id),
    )


def _new_gallery(body: GalleryCreate) -> NewGallery:
    wanted = {"visibility": body.visibility == "private", "password": body.password is not None}
    refused = [field for field, asked in wanted.items() if asked]
    if refused:
        raise AccountRequired(*refused)
    return NewGallery(lifetime_s=body.expires_in, **_details(body))


def _new_account_gallery(body: GalleryCreate) -> NewAccountGallery:
    if body.expires_in is not None:
        raise ExpiryNotForAccounts
    return NewAccountGallery(
        visibility=body.visibility or "shared",
        password=body.password,
        **_details(body),
    )


def _change(body: GalleryPatch) -> GalleryChange:
    sent = body.model_fields_set
    return GalleryChange(
        details=_details(body),
        visibility=body.visibility,
        password=PasswordChange(password=body.password) if "password" in sent else None,
        lifetime_s=body.expires_in,
        keep_code=body.keep_code,
    )


def _details(body: GalleryFields) -> dict[str, Any]:
    """Returns the details that were sent. null takes a detail away, or leaves one that each gallery has."""
    sent = {name: getattr(body, name) for name in DETAILS if name in body.model_fields_set}
    return {name: value for name, value in sent.items() if value is not None or DETAILS[name] is None}


def _refused_lifetime(refused: LifetimeRefused) -> ValidationFailed:
    error = FieldError(field="expires_in", code="out_of_range", message=str(refused))
    return ValidationFailed("Look at: expires_in.", errors=(error,))
