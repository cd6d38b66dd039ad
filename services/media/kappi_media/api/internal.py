"""What the gateway asks to find out whose token it must see. Never routed to the public."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from fastapi import FastAPI
from kappi_chassis.http.responses import json_response
from kappi_chassis.problems import NotFound
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kappi_media.repository.homes import Collection, HomeQueries

_encoder = msgspec.json.Encoder()


class Home(msgspec.Struct, frozen=True):
    gallery_id: UUID


class InternalApi:
    """`GET /internal/{media,uploads,links}/{id}`: the gallery a thing is in."""

    def __init__(self, homes: HomeQueries) -> None:
        self._homes = homes

    def register(self, app: FastAPI) -> None:
        collections: tuple[Collection, ...] = ("media", "uploads", "links")
        for collection in collections:
            app.router.routes.append(
                Route(f"/internal/{collection}/{{id:uuid}}", self._answer_for(collection), methods=["GET"])
            )

    def _answer_for(self, collection: Collection) -> Callable[[Request], Awaitable[Response]]:
        async def find(request: Request) -> Response:
            gallery_id = await self._homes.gallery_of(collection, request.path_params["id"])
            if gallery_id is None:
                raise NotFound
            return json_response(_encoder.encode(Home(gallery_id)))

        return find
