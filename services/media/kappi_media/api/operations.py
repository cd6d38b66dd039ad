"""The OpenAPI operations of uploads and items. Schemas come from `schemas.py`, failures from `errors.py`."""

from __future__ import annotations

from typing import Any

from kappi_chassis.auth import GrantInvalid
from kappi_chassis.http.app import problems
from kappi_chassis.http.idempotency import IDEMPOTENCY_KEY
from kappi_chassis.idempotency import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
)
from kappi_chassis.problems import (
    InsufficientStorage,
    MalformedJson,
    PayloadTooLarge,
    Unauthenticated,
    ValidationFailed,
)
from starlette.responses import Response

from kappi_media import errors
from kappi_media.api.components import answer, json_body
from kappi_media.api.content_negotiation import PREFERRED

TAG = ["Media"]
ACCESS = (Unauthenticated, GrantInvalid, errors.RightMissing, errors.GalleryNotFound)
NO_CONTENT: dict[int | str, dict[str, Any]] = {204: {"description": "Done; there is nothing to say"}}
REDIRECT: dict[str, Any] = {
    "description": "To the signed URL of the bytes",
    "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
}


def _path_id(of: str) -> dict[str, Any]:
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": f"Id of the {of}",
        "schema": {"type": "string", "format": "uuid"},
    }


def _by_status(responses: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(status): response for status, response in responses.items()}


SIGN_BATCH: dict[str, Any] = {
    "operationId": "signUploads",
    "tags": TAG,
    "summary": "Sign a batch of uploads",
    "description": (
        "Declare up to 100 files. Each gets a signed URL: send the file there with the method and "
        "exactly the headers given, the file as the body; then complete its upload. The store takes "
        "nothing but the declared size and type (and SHA-256, where given), once. Files over 16 MiB get the "
        "URLs of their first parts instead, 500 in all: `connection` and the size decide how large parts "
        "are. All files are promised, "
        "or none. What is promised counts towards the storage quota of the gallery's owner until the upload "
        "is aborted or abandoned. Without an account it counts towards a budget of the client's address and "
        "one of the gallery until it is completed, or aborted or expired and its URL dead: beyond them, "
        "`too_much_promised` says what is open.\n\n"
        "With `Idempotency-Key` a retry gets the same uploads, with fresh URLs, instead of a second set."
    ),
    "parameters": [
        _path_id("gallery"),
        IDEMPOTENCY_KEY,
    ],
    "requestBody": json_body("BatchDeclaration"),
    "responses": _by_status(
        {
            201: answer("PromisedBatch", "The uploads, in the order of the files"),
            **problems(
                MalformedJson,
                IdempotencyKeyInvalid,
                *ACCESS,
                errors.GalleryKeyWrong,
                errors.UploadNotFound,
                errors.ClaimInProgress,
                errors.QuotaExceeded,
                errors.FileTooLarge,
                PayloadTooLarge,
                errors.UnsupportedContentType,
                ValidationFailed,
                IdempotencyKeyReused,
                errors.ReservationBudgetExceeded,
                InsufficientStorage,
                errors.StoreUnavailable,
            ),
        }
    ),
}
SIGN_PARTS: dict[str, Any] = {
    "operationId": "signParts",
    "tags": TAG,
    "summary": "Sign parts of an upload",
    "description": (
        "Fresh URLs of up to 100 parts of a multipart upload. PUT the part's bytes to its URL, exactly as "
        "many as it has, with no header but `Content-Length` and, to have the bytes checked, `Content-MD5`; "
        "the answer's `ETag` names what came. Parts may go in any order and side by side; one that is sent "
        "again replaces itself."
    ),
    "parameters": [_path_id("upload")],
    "requestBody": json_body("PartNumbers"),
    "responses": _by_status(
        {
            200: answer("SignedParts", "Where the parts go"),
            **problems(
                MalformedJson,
                *ACCESS,
                errors.UploadNotFound,
                errors.UploadNotMultipart,
                errors.UploadCompletedAlready,
                errors.UploadAborted,
                errors.UploadExpired,
                PayloadTooLarge,
                ValidationFailed,
                InsufficientStorage,
                errors.StoreUnavailable,
            ),
        }
    ),
}
COMPLETE_UPLOAD: dict[str, Any] = {
    "operationId": "completeUpload",
    "tags": TAG,
    "summary": "Complete an upload",
    "description": (
        "Say that the bytes are in the store. The server looks: parts, size, SHA-256 where declared, and "
        "magic bytes. The answer is the new item, still `processing`: its dimensions and renditions follow "
        "within moments. A declared SHA-256 of a large file is checked then, too: `sha256` is null until it "
        "is.\n\n"
        "Completing twice is the same as once, so retry freely. `upload_incomplete` names parts that are "
        "missing; send those and complete again. `content_mismatch` is final: the upload "
        "is over and its bytes are removed. The body may be empty."
    ),
    "parameters": [_path_id("upload")],
    "requestBody": {**json_body("Completion"), "required": False},
    "responses": _by_status(
        {
            200: answer("ItemView", "The item"),
            **problems(
                MalformedJson,
                *ACCESS,
                errors.UploadNotFound,
                errors.MediaNotFound,
                errors.UploadIncomplete,
                errors.UploadAborted,
                PayloadTooLarge,
                errors.ContentMismatch,
                ValidationFailed,
                InsufficientStorage,
                errors.StoreUnavailable,
            ),
        }
    ),
}
LOOK_AT_UPLOAD: dict[str, Any] = {
    "operation_id": "getUpload",
    "tags": TAG,
    "summary": "Look at an upload",
    "description": (
        "Its state and, while bytes may still come, fresh signed URLs for them: of a multipart upload the "
        "parts the store has, and URLs of the first 100 that are missing. This is how an upload goes on "
        "after an app was closed, a network changed, or URLs ran out."
    ),
    "responses": {
        200: answer("UploadStatus", "The upload"),
        **problems(*ACCESS, errors.UploadNotFound, ValidationFailed, errors.StoreUnavailable),
    },
}
ABORT_UPLOAD: dict[str, Any] = {
    "operation_id": "abortUpload",
    "tags": TAG,
    "summary": "Abort an upload",
    "description": "Bytes that came already are removed. A completed upload is deleted as an item instead.",
    "status_code": 204,
    "responses": {
        **NO_CONTENT,
        **problems(*ACCESS, errors.UploadNotFound, errors.UploadCompletedAlready, ValidationFailed),
    },
}
LOOK_AT_ITEM: dict[str, Any] = {
    "operation_id": "getMedia",
    "tags": TAG,
    "summary": "Look at an item",
    "description": (
        "With signed URLs of its original and renditions, good for ten minutes at least. An item that "
        "turned out to be no picture or film is `rejected`, with a `rejection_reason`, and has no URLs. "
        "The original of an item that is still `processing` is for those who may upload to the gallery."
    ),
    "responses": {
        200: answer("ItemView", "The item"),
        **problems(*ACCESS, errors.MediaNotFound, ValidationFailed),
    },
}
DESCRIBE_ITEM: dict[str, Any] = {
    "operation_id": "describeMedia",
    "tags": TAG,
    "summary": "Change an item's description",
    "description": "What is left out stays as it is; null clears.",
    "openapi_extra": {"requestBody": json_body("ItemChanges")},
    "responses": {
        200: answer("ItemView", "The item after the change"),
        **problems(MalformedJson, *ACCESS, errors.MediaNotFound, PayloadTooLarge, ValidationFailed),
    },
}
DELETE_ITEM: dict[str, Any] = {
    "operation_id": "deleteMedia",
    "tags": TAG,
    "summary": "Delete an item",
    "description": "Gone at once for everyone; its original and renditions are removed from the store.",
    "status_code": 204,
    "responses": {**NO_CONTENT, **problems(*ACCESS, errors.MediaNotFound, ValidationFailed)},
}
DOWNLOAD_ITEM: dict[str, Any] = {
    "operation_id": "downloadMedia",
    "tags": TAG,
    "summary": "Get the original",
    "description": (
        "A signed URL of the bytes as they were uploaded, under their file name; with `redirect=true` a "
        "302 to it. Range requests work, so a broken download can go on. The tier of the gallery's owner "
        "decides whether originals can be had, by anyone.\n\n"
        "In a gallery with `location_free` viewers get a copy that does not tell where the original was "
        "made, prepared for the first who asks; its manager gets the original.\n\n"
        "Until an item is `ready`, only those who may upload to the gallery get its original; others are "
        "answered 409 `media_not_ready`."
    ),
    "responses": {
        200: answer("SignedUrl", "Where the original is"),
        302: REDIRECT,
        **problems(
            *ACCESS,
            errors.OriginalNotInTier,
            errors.MediaNotFound,
            errors.MediaNotReady,
            errors.LocationNotRemovable,
            errors.LocationFreePending,
            InsufficientStorage,
            errors.StoreUnavailable,
            ValidationFailed,
        ),
    },
}
_VARY = {"schema": {"type": "string", "const": "Accept"}}
RENDITION: dict[str, Any] = {
    "operation_id": "getRendition",
    "openapi_extra": {
        "parameters": [
            {
                "name": "Accept",
                "in": "header",
                "required": False,
                "description": "Formats that the client shows",
                "schema": {"type": "string", "examples": ["image/avif, image/webp, */*;q=0.8"]},
            }
        ]
    },
    "tags": TAG,
    "summary": "Get a rendition",
    "description": (
        "The picture, or a frame that stands for the film: upright, sRGB, without metadata. `400`: 400 "
        "pixels high, never enlarged. `600x400`: a cover, exactly 600 pixels wide and 400 high, the "
        "picture's middle. The tier of the gallery's owner says which heights there are; a cover can be had "
        "when both its sides are among them. The first request for one makes it, which takes a moment; "
        "from then on it is stored, and as JPEG listed with the item.\n\n"
        "An item lists URLs of this operation for sizes that are not made yet. They are signed: they need no "
        "credential, live as long as the other URLs beside them, and lead to the JPEG.\n\n"
        f"JPEG, unless `Accept` names {PREFERRED} and gives it no lower quality than JPEG; at the same "
        "quality, the first of these. A wildcard means JPEG. A GIF or WebP that moves does so as WebP, too, "
        "unless its frames are very many or large."
    ),
    "status_code": 302,
    "response_class": Response,  # no body, so none is documented
    "responses": {
        302: {**REDIRECT, "headers": {**REDIRECT["headers"], "Vary": _VARY}},
        **problems(
            *ACCESS,
            errors.RenditionNotInTier,
            errors.RenditionUrlInvalid,
            errors.MediaNotFound,
            errors.MediaNotReady,
            errors.RenditionImpossible,
            errors.RenditionsBusy,
            InsufficientStorage,
            errors.StoreUnavailable,
            ValidationFailed,
        ),
    },
}
VIEW_GALLERY: dict[str, Any] = {
    "operationId": "viewGallery",
    "tags": TAG,
    "summary": "Open a shared gallery",
    "description": (
        "The gallery and a page of its items, with signed URLs good for ten minutes at least. Items still "
        "being processed are shown as such, without their originals. Follow `next_cursor` for more: no "
        "item is skipped or repeated, whatever is added or deleted meanwhile.\n\n"
        "Poll with `If-None-Match`: 304 means that what you have is still right, URLs included."
    ),
    "parameters": [
        {
            "name": "code",
            "in": "path",
            "required": True,
            "description": "The short code, in any case",
            "schema": {"type": "string", "examples": ["k7dm"]},
        },
        {
            "name": "limit",
            "in": "query",
            "description": "Items per page; more than 500 counts as 500",
            "schema": {"type": "integer", "minimum": 1, "default": 100},
        },
        {
            "name": "cursor",
            "in": "query",
            "description": "`next_cursor` of the page before",
            "schema": {"type": "string"},
        },
        {
            "name": "If-None-Match",
            "in": "header",
            "description": "`ETag` of the copy you have",
            "schema": {"type": "string"},
        },
    ],
    "responses": _by_status(
        {
            200: {
                **answer("SharedGalleryPage", "The gallery and a page of items"),
                "headers": {"ETag": {"schema": {"type": "string"}}},
            },
            304: {"description": "Nothing changed since the copy you have"},
            **problems(Unauthenticated, GrantInvalid, errors.GalleryNotFound, ValidationFailed),
        }
    ),
}
