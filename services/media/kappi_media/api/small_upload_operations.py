"""The OpenAPI operation of posting a small file."""

from __future__ import annotations

from typing import Any, Final

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
from kappi_media.api.components import answer, json_body, operation, path_id
from kappi_media.api.direct_upload.body import MalformedBase64
from kappi_media.api.operations import ACCESS, CONTRIBUTING

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
                "description": "One field for each tag, or one field with a JSON array",
            },
            "location": {"type": "string", "maxLength": 200, "description": "A place name"},
            "attributes": {"type": "string", "description": "A JSON object, as text"},
            "sha256": {"type": "string", "description": "Of the file, hexadecimal; checked if it is given"},
        },
    }
}
_body = json_body("PostedFile")
_body["content"] = {"multipart/form-data": _FORM, **_body["content"]}

POST_FILE: Final = operation(
    "postFile",
    "Post a small file",
    "For a picture of at most 10 MiB, in one request: as the `file` of a form, or as base64 in JSON, where "
    "the other fields may come before or after. It is checked as every upload is. The answer is the new "
    "item, still `processing`. Without a content type, its name and its first bytes determine the type.\n\n"
    "Larger files, and files over bad connections, should be declared and sent straight to the store.\n\n"
    "With `Idempotency-Key` a retry with the same file gets the first item; `upload_not_found` if that was "
    "deleted since.",
    {201: answer("ItemView", "The item")},
    MalformedJson,
    MalformedForm,
    MalformedBase64,
    IdempotencyKeyInvalid,
    *ACCESS,
    *CONTRIBUTING,
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
    status_code=201,
    openapi_extra={"requestBody": _body, "parameters": [path_id("gallery"), IDEMPOTENCY_KEY]},
)
