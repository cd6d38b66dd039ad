"""The OpenAPI descriptions of the operations on posts and comments."""

from __future__ import annotations

from typing import Any

from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http.app import problems
from kappi_chassis.http.form_stream import MalformedForm
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import (
    MalformedJson,
    Overloaded,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)

from kappi_galleries.api.posts_schemas import (
    CommentAnswer,
    CommentPageAnswer,
    PostAnswer,
    PostFromItem,
    PostPageAnswer,
)
from kappi_galleries.domain.posts import MAX_CAPTION_CHARACTERS
from kappi_galleries.errors import (
    PICTURE_REFUSALS,
    CommentNotFound,
    CommentNotYours,
    PicturesUnavailable,
    PostNotFound,
    PostNotYours,
)

_TOKEN = (AccessTokenMissing, AccessTokenInvalid, KeysUnavailable)
_IDEMPOTENCY = (IdempotencyKeyInvalid, IdempotencyKeyReused)
_PUBLIC: dict[str, Any] = {"security": []}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "A PNG, JPEG or BMP picture"},
            "caption": {"type": "string", "maxLength": MAX_CAPTION_CHARACTERS},
        },
    }
}

CREATE: dict[str, Any] = {
    "operation_id": "createPost",
    "summary": "Post a picture",
    "description": "Send a form with the picture as its `file`, at most 100 MiB, whose content is PNG, JPEG "
    "or BMP; or send JSON with the `media_id` of a ready picture of any type in a gallery of mine. The "
    "original is stored unchanged and is never shown. Readers see a JPEG of 600 by 600 pixels, which is "
    "stored before the answer is sent. Both count towards the storage quota, in which a form without a "
    "`Content-Length` needs room for the largest picture.\n\n"
    "With an `Idempotency-Key`, a retry with the same picture and caption returns the first post.",
    "status_code": 201,
    "response_model": PostAnswer,
    "response_description": "The post",
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": _FORM,
                "application/json": {"schema": PostFromItem.model_json_schema()},
            },
        }
    },
    "responses": problems(
        MalformedJson,
        MalformedForm,
        *_TOKEN,
        PayloadTooLarge,
        UnsupportedMediaType,
        ValidationFailed,
        *PICTURE_REFUSALS.values(),
        *_IDEMPOTENCY,
        PicturesUnavailable,
        Overloaded,
    ),
}
LIST: dict[str, Any] = {
    "operation_id": "listPosts",
    "summary": "List the posts",
    "description": "The posts of all accounts, without authentication: the most commented first, then the "
    "newest. Pages that follow each other hold no post twice, and hold each post whose number of comments "
    "did not change in the meantime.",
    "openapi_extra": _PUBLIC,
    "response_model": PostPageAnswer,
    "response_description": "A page of posts",
    "responses": problems(ValidationFailed),
}
READ: dict[str, Any] = {
    "operation_id": "getPost",
    "summary": "Read a post",
    "description": "The post with its last two comments, without authentication.",
    "openapi_extra": _PUBLIC,
    "response_model": PostAnswer,
    "response_description": "The post",
    "responses": problems(PostNotFound, ValidationFailed),
}
DELETE: dict[str, Any] = {
    "operation_id": "deletePost",
    "summary": "Delete a post",
    "description": "Its author and administrators may delete it. Its picture and comments are deleted, too. "
    "It cannot be undone. Caches may show the picture for another hour.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The post is deleted",
    "responses": problems(*_TOKEN, PostNotYours, PostNotFound, ValidationFailed),
}
LIST_COMMENTS: dict[str, Any] = {
    "operation_id": "listComments",
    "summary": "List the comments of a post",
    "description": "The newest first, without authentication.",
    "openapi_extra": _PUBLIC,
    "response_model": CommentPageAnswer,
    "response_description": "A page of comments",
    "responses": problems(PostNotFound, ValidationFailed),
}
ADD_COMMENT: dict[str, Any] = {
    "operation_id": "addComment",
    "summary": "Comment on a post",
    "description": "The text is stored exactly as written and never interpreted. Each account may send some "
    "comments at once and then one every few seconds. Further ones are answered `too_many_comments`, with "
    "the time to wait.",
    "status_code": 201,
    "response_model": CommentAnswer,
    "response_description": "The comment",
    "responses": problems(MalformedJson, *_TOKEN, PostNotFound, ValidationFailed, *_IDEMPOTENCY),
}
DELETE_COMMENT: dict[str, Any] = {
    "operation_id": "deleteComment",
    "summary": "Delete a comment",
    "description": "Its author, the author of its post and administrators may delete it.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The comment is deleted",
    "responses": problems(*_TOKEN, CommentNotYours, CommentNotFound, ValidationFailed),
}
