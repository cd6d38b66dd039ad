"""Answers other services: the gateway, which must send its token and reports counted accesses, and the
galleries service, which reserves a claim or checks a cover.

These routes are not reachable from outside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import get_args
from uuid import UUID

import msgspec
from fastapi import FastAPI
from kappi_chassis.http.responses import json_response
from kappi_chassis.problems import NotFound
from kappi_contracts.grants import RecordedAccess
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kappi_media.api.reading import decode, read_body
from kappi_media.domain.media import AccountId, GalleryId, MediaId
from kappi_media.errors import MediaNotFound, MediaNotReady
from kappi_media.repository.gallery_lookup import Collection, GalleryLookupQueries
from kappi_media.repository.items import ItemQueries
from kappi_media.statistics.recorder import AccessRecorder
from kappi_media.use_cases.claims import ReserveClaim

_encoder = msgspec.json.Encoder()


class Claim(msgspec.Struct, frozen=True):
    account_id: UUID
    accept_tier: bool = False


_claim = msgspec.json.Decoder(Claim)


class InternalApi:
    """`GET /internal/{media,uploads,links}/{id}` returns the gallery and the item of a thing.

    `POST /internal/galleries/{id}/claim` reserves room for the gallery in an account's quota.

    `POST /internal/galleries/{id}/accesses/{kind}`, or `…/{kind}/{media_id}`, records an access that was
    counted against a cap, by the headers of its caller.

    `GET /internal/galleries/{id}/ready/{media_id}` returns the version of a ready item of the gallery.
    """

    def __init__(
        self,
        homes: GalleryLookupQueries,
        *,
        items: ItemQueries,
        reserve_claim: ReserveClaim,
        recorder: AccessRecorder,
    ) -> None:
        self._recorder = recorder
        self._homes = homes
        self._items = items
        self._reserve_claim = reserve_claim

    def register(self, app: FastAPI) -> None:
        collections: tuple[Collection, ...] = ("media", "uploads", "links")
        for collection in collections:
            app.router.routes.append(
                Route(f"/internal/{collection}/{{id:uuid}}", self._answer_for(collection), methods=["GET"])
            )
        app.router.routes.append(Route("/internal/galleries/{id:uuid}/claim", self._claim, methods=["POST"]))
        kinds: tuple[RecordedAccess, ...] = get_args(RecordedAccess)
        for kind in kinds:
            path, record = f"/internal/galleries/{{id:uuid}}/accesses/{kind}", self._recorder_of(kind)
            app.router.routes.append(Route(path, record, methods=["POST"]))
            app.router.routes.append(Route(f"{path}/{{media_id:uuid}}", record, methods=["POST"]))
        app.router.routes.append(
            Route("/internal/galleries/{id:uuid}/ready/{media_id:uuid}", self._check_ready, methods=["GET"])
        )

    async def _claim(self, request: Request) -> Response:
        wanted = decode(_claim, await read_body(request))
        await self._reserve_claim(
            GalleryId(request.path_params["id"]),
            AccountId(wanted.account_id),
            accept_tier=wanted.accept_tier,
        )
        return Response(status_code=204)

    def _recorder_of(self, kind: RecordedAccess) -> Callable[[Request], Awaitable[Response]]:
        async def record(request: Request) -> Response:
            about = request.path_params
            self._recorder(kind, request, gallery_id=about["id"], media_id=about.get("media_id"))
            return Response(status_code=204)

        return record

    async def _check_ready(self, request: Request) -> Response:
        gallery_id, media_id = request.path_params["id"], request.path_params["media_id"]
        item = await self._items.find(MediaId(media_id), GalleryId(gallery_id))
        if item is None or item.status == "rejected":
            raise MediaNotFound
        if item.status != "ready":
            raise MediaNotReady("Try again in a moment.")
        return json_response(_encoder.encode({"version": item.version}))

    def _answer_for(self, collection: Collection) -> Callable[[Request], Awaitable[Response]]:
        async def find(request: Request) -> Response:
            home = await self._homes.home_of(collection, request.path_params["id"])
            if home is None:
                raise NotFound
            return json_response(_encoder.encode(home._asdict()))

        return find
