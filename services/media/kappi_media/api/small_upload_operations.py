"""The OpenAPI operation of posting a small file."""

from __future__ import annotations

from typing import Any

from kappi_chassis.http.app import problems
from kappi_chassis.http.form_stream import MalformedForm
from kappi_chassis.http.idempotency import IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import (
    InsufficientStorage,
    MalformedJson,
    Overloaded,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)

from kappi_media import errors
from kappi_media.api.components import answer, json_body
from kappi_media.api.direct_upload.body import MalformedBase64
from kappi_media.api.operations import ACCESS, TAG

_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "The file, with its name"},
            "caption": {"type": "string", "maxLength": 2_000},
            "tags": {
                "type": "array",
                "items": {"type": "string"},
                "description": "A field for each, or one that holds a JSON array",
            },
            "location": {"type": "string", "maxLength": 200, "description": "A place name"},
            "attributes": {"type": "string", "description": "A JSON object, as text"},
            "sha256": {"type": "string", "description": "Of the file, hexadecimal; checked when given"},
        },
    }
}
_body = json_body("PostedFile")
_body["content"] = {"multipart/form-data": _FORM, **_body["content"]}

POST_FILE: dict[str, Any] = {
    "operation_id": "postFile",
    "tags": TAG,
    "summary": "Post a small file",
    "description": (
        "For a picture of at most 10 MiB, in one request: as the `file` of a form, or as base64 in JSON, "
        "where the other fields may come before or after. It is checked as every upload is; the answer is "
        "the new item, still `processing`. Without a content type its name and its first bytes tell.\n\n"
        "Larger files, and files over bad lines, are better declared and sent straight to the store.\n\n"
        "With `Idempotency-Key` a retry of the same file gets the first one's item; `upload_not_found` when "
        "that was deleted since."
    ),
    "status_code": 201,
    "openapi_extra": {
        "requestBody": _body,
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "Id of the gallery",
                "schema": {"type": "string", "format": "uuid"},
            },
            IDEMPOTENCY_KEY,
        ],
    },
    "responses": {
        201: answer("ItemView", "The item"),
        **problems(
            MalformedJson,
            MalformedForm,
            MalformedBase64,
            IdempotencyKeyInvalid,
            *ACCESS,
            errors.GalleryKeyWrong,
            errors.UploadNotFound,
            errors.ClaimInProgress,
            errors.QuotaExceeded,
            errors.FileTooLarge,
            PayloadTooLarge,
            UnsupportedMediaType,
            errors.FileTypeNotTaken,
            errors.ContentMismatch,
            ValidationFailed,
            IdempotencyKeyReused,
            errors.ReservationBudgetExceeded,
            InsufficientStorage,
            errors.StoreUnavailable,
            Overloaded,
        ),
    },
}
