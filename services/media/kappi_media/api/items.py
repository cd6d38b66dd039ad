"""Items: show, describe, delete, download."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import FastAPI, Path, Query, Request
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.problems import FieldError, ValidationFailed
from kappi_chassis.storage.disposition import safe_filename
from kappi_contracts.grants import ACCESS_HEADER, COUNTED_HEADER, Grant, counted_access, recorded_access
from msgspec import UNSET
from starlette.responses import Response

from kappi_media.api import operations
from kappi_media.api.access import (
    ClientAddresses,
    GrantGate,
    is_counted,
    is_told_no_places,
    is_uploader,
    share_of,
    shown_only_of,
)
from kappi_media.api.content_negotiation import rendition_format
from kappi_media.api.item_answers import ItemAnswers
from kappi_media.api.reading import check_attributes, decode, read_body
from kappi_media.api.redirects import redirect_to
from kappi_media.api.schemas import ItemChanges
from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import Description, GalleryId, MediaId
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.rendering.sizes import is_size
from kappi_media.statistics.recorder import AccessRecorder
from kappi_media.use_cases.contributions import OwnContributions
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.items import Items
from kappi_media.use_cases.renditions import Renditions

ItemIdPath = Annotated[UUID, Path(alias="id", description="Id of the item")]

_changes = msgspec.json.Decoder(ItemChanges)


def leads_to_rendition(raw_path: bytes) -> bool:
    """Returns whether a request may wait for a decoder."""
    return raw_path.startswith(b"/v1/media/") and (
        b"/renditions/" in raw_path or raw_path.endswith((b"/playback", b"/playback.m3u8"))
    )


class ItemApi:
    def __init__(
        self,
        gate: GrantGate,
        *,
        tier: GoverningTier,
        items: Items,
        renditions: Renditions,
        answers: ItemAnswers,
        recorder: AccessRecorder,
        addresses: ClientAddresses,
        own: OwnContributions,
    ) -> None:
        self._gate = gate
        self._addresses = addresses
        self._own = own
        self._tier = tier
        self._items = items
        self._renditions = renditions
        self._answers = answers
        self._recorder = recorder

    def register(self, app: FastAPI) -> None:
        path = "/v1/media/{id}"
        app.add_api_route(path, self.look, methods=["GET"], **operations.LOOK_AT_ITEM)
        app.add_api_route(path, self.describe, methods=["PATCH"], **operations.DESCRIBE_ITEM)
        app.add_api_route(path, self.delete, methods=["DELETE"], **operations.DELETE_ITEM)
        app.add_api_route(f"{path}/download", self.download, methods=["GET"], **operations.DOWNLOAD_ITEM)
        app.add_api_route(
            f"{path}/renditions/{{size}}", self.rendition, methods=["GET"], **operations.RENDITION
        )

    async def look(self, media_id: ItemIdPath, request: Request) -> Response:
        grant = await self._gate.open(request, "view")
        await self.check_shown(grant, media_id)
        item = await self._items.find(MediaId(media_id), GalleryId(grant.gallery_id))
        shown = await self._answers(item, grant)
        self._recorder("item_view", request, gallery_id=grant.gallery_id, media_id=media_id)
        return JsonResponse(shown)

    async def describe(self, media_id: ItemIdPath, request: Request) -> Response:
        grant = await self._open_own(request, media_id)
        changes = decode(_changes, await read_body(request))
        check_attributes([("attributes", changes.attributes or {})])
        item = await self._items.describe(
            MediaId(media_id),
            GalleryId(grant.gallery_id),
            description=Description(
                caption=changes.caption or None,
                tags=tuple(changes.tags or ()),
                location=changes.location or None,
                attributes=changes.attributes or {},
            ),
            filename=safe_filename(changes.filename) if changes.filename is not UNSET else None,
            fields=frozenset(
                name for name in changes.__struct_fields__ if getattr(changes, name) is not UNSET
            ),
        )
        return JsonResponse(await self._answers(item, grant))

    async def delete(self, media_id: ItemIdPath, request: Request) -> Response:
        grant = await self._open_own(request, media_id)
        await self._items.delete(MediaId(media_id), GalleryId(grant.gallery_id), owner_id=grant.owner_id)
        return Response(status_code=204)

    async def download(
        self,
        media_id: ItemIdPath,
        request: Request,
        redirect: Annotated[
            bool, Query(description="Answer 302 to the signed URL instead of returning it")
        ] = False,
        expires: Annotated[str, Query(description="As in the item's URL")] = "",
        signature: Annotated[str, Query(description="As in the item's URL; it replaces credentials")] = "",
    ) -> Response:
        if signature:
            signed, gallery_id = await self._items.counted_download(
                MediaId(media_id), expires=expires, signature=signature
            )
            return _counted(redirect_to(signed), gallery_id, media_id)
        grant = await self._gate.open(request, "view")
        await self.check_shown(grant, media_id)
        signed = await (await self._download_for(grant, media_id))(
            MediaId(media_id), GalleryId(grant.gallery_id), rules=await self._tier.of(grant)
        )
        response = redirect_to(signed) if redirect else JsonResponse(signed)
        if is_counted(grant):
            return _counted(response, grant.gallery_id, media_id)
        self._recorder("download", request, gallery_id=grant.gallery_id, media_id=media_id)
        return response

    async def rendition(
        self,
        media_id: ItemIdPath,
        size: str,
        request: Request,
        expires: Annotated[str, Query(description="As in the item's URL")] = "",
        signature: Annotated[str, Query(description="As in the item's URL; it replaces credentials")] = "",
    ) -> Response:
        if signature:
            signed, gallery_id = await self._renditions.signed(
                MediaId(media_id),
                size=size,
                expires=expires,
                signature=signature,
                address_id=self._addresses.id_of(request),
            )
            self._recorder("preview", request, gallery_id=gallery_id, media_id=media_id)
            return redirect_to(signed)
        grant = await self._gate.open(request, "view")
        await self.check_shown(grant, media_id)
        if not is_size(size):
            message = "a height, as 400, or a width and a height, as 600x600"
            raise ValidationFailed(
                "Look at: size.", errors=(FieldError(field="size", code="invalid", message=message),)
            )
        signed = await self._renditions(
            MediaId(media_id),
            GalleryId(grant.gallery_id),
            size=size,
            fmt=rendition_format(",".join(request.headers.getlist("accept"))),
            rules=await self._tier.of(grant),
            share=share_of(grant, self._addresses.id_of(request)),
        )
        self._recorder("preview", request, gallery_id=grant.gallery_id, media_id=media_id)
        return redirect_to(signed, vary="Accept")

    async def _open_own(self, request: Request, media_id: UUID) -> Grant:
        """Returns a grant of the gallery. A contributor changes its own items alone."""
        grant = await self._gate.open_own(request)
        if grant.contributor is not None:
            contributor_id = ContributorId(grant.contributor.id)
            await self._own.check_item(contributor_id, MediaId(media_id), GalleryId(grant.gallery_id))
        return grant

    async def check_shown(self, grant: Grant, media_id: UUID) -> None:
        """Raises MediaNotFound for an item that the gallery hides from the bearer of the grant."""
        only_of = shown_only_of(grant)
        if only_of is not None:
            await self._own.check_item(only_of, MediaId(media_id), GalleryId(grant.gallery_id))

    async def original_for(
        self, grant: Grant, media_id: UUID, request: Request, *, redirect: bool
    ) -> Response:
        """Returns the answer that leads to what the bearer of the grant gets as the original of a film."""
        signed = await (await self._download_for(grant, media_id))(
            MediaId(media_id), GalleryId(grant.gallery_id), rules=await self._tier.of(grant)
        )
        response = redirect_to(signed) if redirect else JsonResponse(signed)
        if is_counted(grant):
            return _counted(response, grant.gallery_id, media_id)
        self._recorder("preview", request, gallery_id=grant.gallery_id, media_id=media_id)
        return response

    async def _download_for(self, grant: Grant, media_id: UUID) -> Callable[..., Awaitable[SignedUrl]]:
        if is_told_no_places(grant):
            return self._items.download_location_free
        added_by = None
        if grant.contributor is not None:
            contributor_id = ContributorId(grant.contributor.id)
            if await self._own.has_item(contributor_id, MediaId(media_id), GalleryId(grant.gallery_id)):
                added_by = contributor_id
        if is_uploader(grant, added_by=added_by):
            return self._items.download_as_uploader
        return self._items.download


def _counted(response: Response, gallery_id: UUID, media_id: UUID) -> Response:
    response.headers[COUNTED_HEADER] = counted_access("downloads", gallery_id)
    response.headers[ACCESS_HEADER] = recorded_access("download", gallery_id, media_id)
    return response
