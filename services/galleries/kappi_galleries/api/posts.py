"""The public endpoints of posts and comments."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from kappi_chassis.http.documents import document_response, stored_document, stored_response
from kappi_chassis.http.edge import PACED
from kappi_chassis.http.idempotency import IdempotencyKey, IdempotentCalls
from kappi_chassis.idempotency import StoredAnswer
from kappi_chassis.pagination import Cursor, PageSize, page_by_id, position_of
from kappi_chassis.problems import UnsupportedMediaType
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
from kappi_galleries.errors import PostNotFound
from kappi_galleries.repository.comments import CommentQueries
from kappi_galleries.repository.posts import PostQueries
from kappi_galleries.use_cases.comments import AddComment, DeleteComment
from kappi_galleries.use_cases.create_post import CreatePostFromItem, CreatePostFromUpload
from kappi_galleries.use_cases.posts import DeletePost, ListPosts

DEFAULT_LIMIT: Final = 20
PAGE_SIZE: Final = PageSize(100)

PostIdPath = Annotated[UUID, Path(description="The post's id")]
CommentIdPath = Annotated[UUID, Path(description="The comment's id")]
Limit = Annotated[int, PAGE_SIZE.query, PAGE_SIZE.clamp]


class PostApi:
    """The endpoints' handlers and the use cases they call."""

    def __init__(
        self,
        *,
        posts: PostQueries,
        list_posts: ListPosts,
        create_from_upload: CreatePostFromUpload,
        create_from_item: CreatePostFromItem,
        delete_post: DeletePost,
        comments: CommentQueries,
        add_comment: AddComment,
        delete_comment: DeleteComment,
        callers: Callers,
        calls: IdempotentCalls,
        links: Links,
        uploads_at_once: int,
    ) -> None:
        self._posts = posts
        self._list_posts = list_posts
        self._create_from_upload = create_from_upload
        self._create_from_item = create_from_item
        self._delete_post = delete_post
        self._comments = comments
        self._add_comment = add_comment
        self._delete_comment = delete_comment
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
                answer = await self._from_upload(request, caller, idempotency_key, content_type=content_type)
        elif kind == "application/json":
            answer = await self._from_item(request, caller, idempotency_key)
        else:
            raise UnsupportedMediaType("Send multipart/form-data with a picture, or application/json.")
        return stored_response(answer)

    async def list(self, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        after = post_position_of(cursor) if cursor else None
        page = await self._list_posts(after=after, limit=limit)
        document = PostPageAnswer(
            items=[PostAnswer.of(post, self._links.image_of) for post in page.posts],
            next_cursor=cursor_after_post(page.after) if page.after else None,
        )
        return document_response(document)

    async def read(self, post_id: PostIdPath) -> Response:
        post = await self._posts.find(PostId(post_id))
        if post is None:
            raise PostNotFound
        return document_response(PostAnswer.of(post, self._links.image_of))

    async def delete(self, request: Request, post_id: PostIdPath, _token: AccountToken) -> Response:
        await self._delete_post(PostId(post_id), await self._callers.author(request))
        return Response(status_code=204)

    async def comments(
        self, post_id: PostIdPath, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        before = position_of(cursor)
        found = await self._comments.page(PostId(post_id), before=before, limit=limit + 1)
        if found is None:
            raise PostNotFound
        page, next_cursor = page_by_id(found, limit=limit)
        items = [CommentAnswer.of(comment) for comment in page]
        return document_response(CommentPageAnswer(items=items, next_cursor=next_cursor))

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
        answer = await self._add_comment(caller, PostId(post_id), body.text, call=call, render=_rendered)
        return stored_response(answer)

    async def delete_comment(
        self, request: Request, comment_id: CommentIdPath, _token: AccountToken
    ) -> Response:
        await self._delete_comment(CommentId(comment_id), await self._callers.author(request))
        return Response(status_code=204)

    async def _from_upload(
        self, request: Request, caller: Caller, idempotency_key: str | None, *, content_type: str
    ) -> StoredAnswer:
        call_of = self._calls.fingerprinted(
            idempotency_key, scope="POST /v1/posts form", caller=str(caller.account_id)
        )
        upload = PostForm(request, content_type=content_type)
        return await self._create_from_upload(caller, upload, call_of=call_of, render=self._created)

    async def _from_item(self, request: Request, caller: Caller, idempotency_key: str | None) -> StoredAnswer:
        asked = await read_item_post(request)
        call_of = self._calls.fingerprinted(
            idempotency_key, scope="POST /v1/posts item", caller=str(caller.account_id)
        )
        return await self._create_from_item(
            caller,
            asked.media_id,
            caption=asked.caption,
            call=None if call_of is None else call_of(asked.model_dump_json().encode()),
            render=self._created,
        )

    def _created(self, post: Post) -> StoredAnswer:
        return stored_document(PostAnswer.of(post, self._links.image_of), status=201)


def _rendered(comment: Comment) -> StoredAnswer:
    return stored_document(CommentAnswer.of(comment), status=201)
