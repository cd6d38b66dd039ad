"""The public endpoints of posts and comments."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from kappi_chassis.http import json_response
from kappi_chassis.http.edge import PACED
from kappi_chassis.http.idempotency import IdempotencyKey, IdempotentCalls
from kappi_chassis.idempotency import StoredAnswer
from kappi_chassis.pagination import Cursor, PageSize, cursor_after, position_of
from kappi_chassis.problems import UnsupportedMediaType
from pydantic import BaseModel
from starlette.responses import Response

from kappi_galleries.api import post_operations
from kappi_galleries.api.access import AccountToken, Callers
from kappi_galleries.api.post_cursors import cursor_after_post, post_position_of
from kappi_galleries.api.post_uploads import PostForm, UploadPlaces, read_item_post
from kappi_galleries.api.posts_schemas import (
    CommentAnswer,
    CommentCreate,
    CommentPageAnswer,
    PostAnswer,
    PostPageAnswer,
)
from kappi_galleries.domain.links import Links
from kappi_galleries.domain.posts import Caller, Comment, CommentId, Post, PostId
from kappi_galleries.use_cases.comments import Comments
from kappi_galleries.use_cases.post_creation import CreatePost
from kappi_galleries.use_cases.posts import Posts

DEFAULT_LIMIT: Final = 20
PAGE_SIZE: Final = PageSize(100)
NO_STORE = {"Cache-Control": "no-store"}

PostIdPath = Annotated[UUID, Path(description="The post's id")]
CommentIdPath = Annotated[UUID, Path(description="The comment's id")]
Limit = Annotated[int, PAGE_SIZE.query, PAGE_SIZE.clamp]


class PostApi:
    """The endpoints' handlers and the use cases they call."""

    def __init__(
        self,
        *,
        creation: CreatePost,
        posts: Posts,
        comments: Comments,
        callers: Callers,
        calls: IdempotentCalls,
        links: Links,
        uploads_at_once: int,
    ) -> None:
        self._creation = creation
        self._posts = posts
        self._comments = comments
        self._callers = callers
        self._calls = calls
        self._links = links
        self._places = UploadPlaces(uploads_at_once)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Posts"])
        one = "/v1/posts/{post_id}"
        router.add_api_route("/v1/posts", self.list, methods=["GET"], **post_operations.LIST)
        router.add_api_route("/v1/posts", self.create, methods=["POST"], **post_operations.CREATE)
        router.add_api_route(one, self.read, methods=["GET"], **post_operations.READ)
        router.add_api_route(one, self.delete, methods=["DELETE"], **post_operations.DELETE)
        router.add_api_route(
            f"{one}/comments", self.comments, methods=["GET"], **post_operations.LIST_COMMENTS
        )
        router.add_api_route(f"{one}/comments", self.comment, methods=["POST"], **post_operations.ADD_COMMENT)
        router.add_api_route(
            "/v1/comments/{comment_id}",
            self.delete_comment,
            methods=["DELETE"],
            **post_operations.DELETE_COMMENT,
        )
        return router

    async def create(
        self, request: Request, _token: AccountToken, idempotency_key: IdempotencyKey = None
    ) -> Response:
        caller = await self._callers.author(request)
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            request.scope[PACED] = True
            with self._places.taken():
                answer = await self._create_from_upload(
                    request, caller, idempotency_key, content_type=content_type
                )
        elif kind == "application/json":
            answer = await self._create_from_item(request, caller, idempotency_key)
        else:
            raise UnsupportedMediaType("Send multipart/form-data with a picture, or application/json.")
        return json_response(answer.body, status=answer.status, headers=NO_STORE)

    async def list(self, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        after = post_position_of(cursor) if cursor else None
        page = await self._posts.list(after=after, limit=limit)
        document = PostPageAnswer(
            items=[PostAnswer.of(post, self._links.image_of) for post in page.posts],
            next_cursor=cursor_after_post(page.after) if page.after else None,
        )
        return _answer(document)

    async def read(self, post_id: PostIdPath) -> Response:
        post = await self._posts.read(PostId(post_id))
        return _answer(PostAnswer.of(post, self._links.image_of))

    async def delete(self, request: Request, post_id: PostIdPath, _token: AccountToken) -> Response:
        await self._posts.delete(PostId(post_id), await self._callers.author(request))
        return Response(status_code=204)

    async def comments(
        self, post_id: PostIdPath, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        page = await self._comments.list(
            PostId(post_id),
            before=position_of(cursor),
            limit=limit,
        )
        document = CommentPageAnswer(
            items=[CommentAnswer.of(comment) for comment in page.comments],
            next_cursor=cursor_after(page.before),
        )
        return _answer(document)

    async def comment(
        self,
        request: Request,
        post_id: PostIdPath,
        _token: AccountToken,
        body: CommentCreate,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        caller = await self._callers.author(request)
        call = await self._calls.read(
            request, idempotency_key, scope=f"comment on {post_id}", caller=str(caller.account_id)
        )
        if call is None:
            answer = _rendered(await self._comments.add(caller, PostId(post_id), body.text))
        else:
            answer = await self._comments.add_once(call, caller, PostId(post_id), body.text, render=_rendered)
        return json_response(answer.body, status=answer.status, headers=NO_STORE)

    async def delete_comment(
        self, request: Request, comment_id: CommentIdPath, _token: AccountToken
    ) -> Response:
        await self._comments.delete(CommentId(comment_id), await self._callers.author(request))
        return Response(status_code=204)

    async def _create_from_upload(
        self, request: Request, caller: Caller, idempotency_key: str | None, *, content_type: str
    ) -> StoredAnswer:
        call_of = self._calls.fingerprinted(
            idempotency_key, scope="POST /v1/posts form", caller=str(caller.account_id)
        )
        upload = PostForm(request, content_type=content_type)
        return await self._creation.from_upload(caller, upload, call_of=call_of, render=self._created)

    async def _create_from_item(
        self, request: Request, caller: Caller, idempotency_key: str | None
    ) -> StoredAnswer:
        asked = await read_item_post(request)
        call_of = self._calls.fingerprinted(
            idempotency_key, scope="POST /v1/posts item", caller=str(caller.account_id)
        )
        return await self._creation.from_item(
            caller,
            asked.media_id,
            caption=asked.caption,
            call=None if call_of is None else call_of(asked.model_dump_json().encode()),
            render=self._created,
        )

    def _created(self, post: Post) -> StoredAnswer:
        document = PostAnswer.of(post, self._links.image_of)
        return StoredAnswer(201, document.model_dump_json().encode())


def _rendered(comment: Comment) -> StoredAnswer:
    return StoredAnswer(201, CommentAnswer.of(comment).model_dump_json().encode())


def _answer(document: BaseModel) -> Response:
    return json_response(document.model_dump_json().encode(), headers=NO_STORE)
