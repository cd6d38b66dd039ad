"""Pictures of posts: the public picture, and the calls of the galleries service."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec
from fastapi import FastAPI, Path, Request
from kappi_chassis.http.edge import PACED
from kappi_chassis.http.turns import Turns
from kappi_chassis.problems import NotFound
from kappi_chassis.storage.http_ranges import names_etag
from starlette.responses import Response
from starlette.routing import Route

from kappi_media import errors
from kappi_media.api.components import operation
from kappi_media.api.reading import decode, pieces_of, read_body
from kappi_media.domain.media import AccountId, MediaId, PostId
from kappi_media.use_cases.post_pictures import PictureOrder, ShowPostPicture, StorePostPicture

PostIdPath = Annotated[UUID, Path(alias="id", description="Id of the post")]
CACHE_CONTROL = "public, max-age=3600"
"""The lifetime in caches. They may show a deleted post's picture for an hour."""
TIMEOUT_S = 10.0
"""The longest wait of a picture for its turn."""
_INTERNAL = "/internal/posts/"


class ItemAsPicture(msgspec.Struct, frozen=True):
    """The request to make a post's picture of this item, which must be the account's."""

    account_id: UUID
    media_id: UUID


_item = msgspec.json.Decoder(ItemAsPicture)


def leads_to_post_picture(raw_path: bytes) -> bool:
    """Returns whether a request sends a picture, which takes as long as its client sends."""
    return raw_path.startswith(_INTERNAL.encode())


class PostPictureApi:
    """`GET /v1/posts/{id}/image`, and `PUT` and `POST /internal/posts/{id}/picture`."""

    def __init__(self, *, store: StorePostPicture, show: ShowPostPicture, at_once: int) -> None:
        self._store = store
        self._show = show
        self._turns = Turns(
            at_once,
            timeout_s=TIMEOUT_S,
            refusal="Too many files are being received.",
            retry_after_s=5,
        )

    def register(self, app: FastAPI) -> None:
        app.add_api_route("/v1/posts/{id}/image", self.show, methods=["GET"], **_SHOW)
        internal = _INTERNAL + "{id:uuid}/picture"
        app.router.routes.append(Route(internal, self.store_file, methods=["PUT"]))
        app.router.routes.append(Route(internal, self.use_item, methods=["POST"]))

    async def show(self, post_id: PostIdPath, request: Request) -> Response:
        shown = await self._show.find(PostId(post_id))
        headers = {
            "ETag": f'"{shown.etag}"',
            "Cache-Control": CACHE_CONTROL,
            "X-Content-Type-Options": "nosniff",
        }
        known = request.headers.get("if-none-match")
        if known is not None and names_etag(known, shown.etag, weak=True):
            return Response(status_code=304, headers=headers)
        body = await self._show.read(PostId(post_id), shown)
        return Response(body, headers=headers, media_type="image/jpeg")

    async def store_file(self, request: Request) -> Response:
        request.scope[PACED] = True
        order = PictureOrder(PostId(request.path_params["id"]), _account(request))
        async with self._turns.taken():
            await self._store.from_file(order, pieces_of(request), announced_bytes=_announced(request))
        return Response(status_code=204)

    async def use_item(self, request: Request) -> Response:
        asked = decode(_item, await read_body(request))
        order = PictureOrder(PostId(request.path_params["id"]), AccountId(asked.account_id))
        await self._store.from_item(order, MediaId(asked.media_id))
        return Response(status_code=204)


def _account(request: Request) -> AccountId:
    try:
        return AccountId(UUID(request.query_params.get("account_id", "")))
    except ValueError as error:
        raise NotFound from error


def _announced(request: Request) -> int | None:
    text = request.query_params.get("at_most_bytes", "")
    return int(text) if text.isdigit() else None


_SHOW: Final = operation(
    "getPostImage",
    "The picture of a post",
    "A JPEG of 600 by 600 pixels, upright, in sRGB, without metadata. It is the same for all callers, "
    "whatever the tier of its author. The address works as long as the post exists; with `If-None-Match` "
    "nothing is sent twice.",
    {
        200: {
            "description": "The picture",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "ETag": {"schema": {"type": "string"}},
                "Cache-Control": {"schema": {"type": "string"}},
            },
        },
        304: {"description": "Your copy is still correct"},
    },
    errors.PostNotFound,
    errors.StoreUnavailable,
    tag="Posts",
    response_class=Response,
    openapi_extra={"security": []},
)
