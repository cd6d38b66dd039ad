"""The public endpoints that change a gallery's owner or replace its secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Request
from kappi_chassis.clock import Clock
from kappi_chassis.http.documents import stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotencyKey, IdempotentCalls, SecretIdempotencyKey
from kappi_chassis.idempotency import StoredAnswer
from kappi_chassis.time_left import with_seconds_left
from starlette.responses import Response

from kappi_galleries.api import operations
from kappi_galleries.api.access import KEY_HEADER, AccountToken, Callers, GalleryKey, present
from kappi_galleries.api.galleries import GalleryIdPath
from kappi_galleries.api.schemas import AccessKeyAnswer, GalleryAnswer, GalleryClaim, GalleryCodeAnswer
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.domain.links import Links
from kappi_galleries.use_cases.access import Manager
from kappi_galleries.use_cases.claim_gallery import ClaimGallery
from kappi_galleries.use_cases.rotate_secrets import RotateAccessKey, RotateCode


class OwnershipApi:
    """The endpoints' handlers and the use cases they call."""

    def __init__(
        self,
        *,
        claim_gallery: ClaimGallery,
        rotate_code: RotateCode,
        rotate_access_key: RotateAccessKey,
        callers: Callers,
        calls: IdempotentCalls,
        links: Links,
        clock: Clock,
    ) -> None:
        self._claim_gallery = claim_gallery
        self._rotate_code = rotate_code
        self._rotate_access_key = rotate_access_key
        self._callers = callers
        self._calls = calls
        self._links = links
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Galleries"])
        one = "/v1/galleries/{gallery_id}"
        router.add_api_route(f"{one}/claim", self.claim, methods=["POST"], **operations.CLAIM)
        router.add_api_route(
            f"{one}/rotate-code", self.rotate_code, methods=["POST"], **operations.ROTATE_CODE
        )
        router.add_api_route(f"{one}/rotate-key", self.rotate_key, methods=["POST"], **operations.ROTATE_KEY)
        return router

    async def claim(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        body: Annotated[GalleryClaim | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        account_id = await self._callers.account(request)
        access_key = present(request.headers.get(KEY_HEADER))
        caller = Manager(account_id=account_id, access_key=access_key).name
        answer = await self._claim_gallery(
            gallery_id,
            account_id=account_id,
            access_key=access_key,
            accept_tier=body is not None and body.accept_tier,
            call=await self._calls.read(request, idempotency_key, scope=f"claim {gallery_id}", caller=caller),
            render=self._gallery,
        )
        return stored_response(replace(answer, body=with_seconds_left(answer.body, now=self._clock())))

    async def rotate_code(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        _token: AccountToken,
        key: GalleryKey,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        manager = await self._callers.manager(request, key)
        call = await self._calls.read(
            request, idempotency_key, scope=f"rotate-code {gallery_id}", caller=manager.name
        )
        return stored_response(await self._rotate_code(gallery_id, manager, call=call, render=self._code))

    async def rotate_key(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        key: GalleryKey,
        idempotency_key: SecretIdempotencyKey = None,
    ) -> Response:
        await self._callers.account_if_any(request)
        access_key = present(key)
        call = await self._calls.read_secret(
            request, idempotency_key, scope=f"rotate-key {gallery_id}", caller=access_key
        )
        return stored_response(
            await self._rotate_access_key(gallery_id, access_key, call=call, render=_access_key)
        )

    def _gallery(self, gallery: Gallery) -> StoredAnswer:
        return stored_document(GalleryAnswer.of(gallery, self._links, now=self._clock()))

    def _code(self, gallery: Gallery) -> StoredAnswer:
        return stored_document(GalleryCodeAnswer(code=gallery.shown_code, url=self._links.to(gallery)))


def _access_key(access_key: str) -> StoredAnswer:
    return stored_document(AccessKeyAnswer(access_key=access_key))
