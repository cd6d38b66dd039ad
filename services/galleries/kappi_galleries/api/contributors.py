"""The public endpoints of contributors."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request
from kappi_chassis.auth import GrantVerifier
from kappi_chassis.clock import Clock
from kappi_chassis.http.documents import document_response, stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotentCalls, SecretIdempotencyKey
from kappi_chassis.idempotency import StoredAnswer
from kappi_chassis.pagination import Cursor, PageSize, page_by_id, position_of
from kappi_chassis.problems import Unauthenticated
from kappi_contracts.grants import GRANT_HEADER
from starlette.responses import Response

from kappi_galleries.api import contributors_operations as operations
from kappi_galleries.api.access import AccountToken, Callers, GalleryKey
from kappi_galleries.api.contributors_schemas import (
    ContributorAnswer,
    ContributorCreate,
    ContributorCreatedAnswer,
    ContributorPageAnswer,
)
from kappi_galleries.api.galleries import GalleryIdPath
from kappi_galleries.domain.contributors import Contributor
from kappi_galleries.errors import ContributionsClosed, GalleryNotFound
from kappi_galleries.repository.contributors import ContributorQueries
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.use_cases.access import read_managed
from kappi_galleries.use_cases.contributors import AddContributor, RemoveContributor

DEFAULT_LIMIT: Final = 100
PAGE_SIZE: Final = PageSize(500, rows="Contributors per page")

CodePath = Annotated[str, Path(description="The gallery's code")]
ContributorIdPath = Annotated[UUID, Path(description="The contributor's id")]
Limit = Annotated[int, PAGE_SIZE.query, PAGE_SIZE.clamp]
ItemsChoice = Annotated[
    Literal["keep", "delete"],
    Query(description="Whether the items that the contributor added to the gallery are kept or deleted"),
]


class ContributorApi:
    """The endpoints' handlers and the use cases they call."""

    def __init__(
        self,
        *,
        grants: GrantVerifier,
        galleries: GalleryQueries,
        contributors: ContributorQueries,
        add_contributor: AddContributor,
        remove_contributor: RemoveContributor,
        callers: Callers,
        calls: IdempotentCalls,
        clock: Clock,
    ) -> None:
        self._grants = grants
        self._galleries = galleries
        self._contributors = contributors
        self._add_contributor = add_contributor
        self._remove_contributor = remove_contributor
        self._callers = callers
        self._calls = calls
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Galleries"])
        every = "/v1/galleries/{gallery_id}/contributors"
        one = f"{every}/{{contributor_id}}"
        router.add_api_route("/v1/g/{code}/contributors", self.add, methods=["POST"], **operations.ADD)
        router.add_api_route(every, self.list_all, methods=["GET"], **operations.LIST)
        router.add_api_route(one, self.remove, methods=["DELETE"], **operations.REMOVE)
        return router

    async def add(
        self,
        request: Request,
        code: CodePath,
        body: Annotated[ContributorCreate | None, Body()] = None,
        idempotency_key: SecretIdempotencyKey = None,
    ) -> Response:
        gallery_id = await self._opened_by(request, code)
        call = await self._calls.read_secret(
            request, idempotency_key, scope=f"POST contributors of {gallery_id}", caller=""
        )
        name = None if body is None else body.name
        answer = await self._add_contributor(gallery_id, name, call=call, render=_created)
        return stored_response(answer)

    async def list_all(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        _token: AccountToken,
        key: GalleryKey,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response:
        manager = await self._callers.manager(request, key)
        gallery = await read_managed(self._galleries, gallery_id, manager, now=self._clock())
        before = position_of(cursor)
        found = await self._contributors.page(gallery.id, before=before, limit=limit + 1)
        page, next_cursor = page_by_id(found, limit=limit)
        items = [ContributorAnswer.of(contributor) for contributor in page]
        return document_response(ContributorPageAnswer(items=items, next_cursor=next_cursor))

    async def remove(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        contributor_id: ContributorIdPath,
        _token: AccountToken,
        key: GalleryKey,
        items: ItemsChoice = "keep",
    ) -> Response:
        manager = await self._callers.manager(request, key)
        remove = self._remove_contributor
        act = remove.with_items if items == "delete" else remove.keeping_items
        await act(gallery_id, contributor_id, manager)
        return Response(status_code=204)

    async def _opened_by(self, request: Request, code: str) -> UUID:
        """Returns the gallery of the grant to view that the gateway obtained for the code, and the password.

        Raises Unauthenticated, GrantInvalid, GalleryNotFound, ContributionsClosed.
        """
        token = request.headers.get(GRANT_HEADER)
        if not token:
            raise Unauthenticated("This needs the gallery's code.")
        grant = await self._grants.open(token)
        if grant.gallery.code != code:
            raise GalleryNotFound
        if grant.gallery.contributions == "closed":  # without a transaction that locks the gallery
            raise ContributionsClosed
        return grant.gallery_id


def _created(contributor: Contributor, key: str) -> StoredAnswer:
    return stored_document(ContributorCreatedAnswer.of(contributor, key), status=201)
