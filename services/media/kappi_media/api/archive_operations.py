"""The OpenAPI operations of archives."""

from __future__ import annotations

from typing import Any

from kappi_chassis.http.app import problems
from kappi_chassis.problems import InsufficientStorage

from kappi_media import errors
from kappi_media.api.operations import ACCESS, TAG

_BYTES: dict[str, Any] = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS: dict[str, Any] = {
    "ETag": {"schema": {"type": "string"}, "description": "Strong: the same exactly if every byte is"},
    "Accept-Ranges": {"schema": {"const": "bytes"}},
    "Content-Length": {"schema": {"type": "integer"}},
    "Content-Disposition": {
        "schema": {"type": "string"},
        "description": "A file name made of the gallery's title",
    },
}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "examples": [example]},
    }


ARCHIVE: dict[str, Any] = {
    "operationId": "downloadArchive",
    "tags": TAG,
    "summary": "Download the whole gallery",
    "description": (
        "The originals of all ready items as one ZIP, not compressed, with their own names and times; names "
        "that repeat become `name (2).jpg`. Items that are still being processed are left out: look at the "
        "gallery first where that matters. `HEAD` tells the length.\n\n"
        "To resume, send `Range` with `If-Range` and the `ETag` of the first answer: 206 goes on, 200 begins "
        "anew because the gallery has changed. An answer that breaks off is not whole, whatever the reason; "
        "one range at a time. Without access to originals in the tier of the gallery's owner there is none."
    ),
    "parameters": [
        {
            "name": "code",
            "in": "path",
            "required": True,
            "description": "The short code, in any case",
            "schema": {"type": "string", "examples": ["k7dm"]},
        },
        _header("Range", "One range of bytes", "bytes=1048576-"),
        _header("If-Range", "The `ETag` the range belongs to", '"b5c1…"'),
        _header("If-None-Match", "304 when it is still this one", '"b5c1…"'),
        _header("If-Match", "412 when it is not this one any more", '"b5c1…"'),
    ],
    "responses": {
        "200": {"description": "All of it", "headers": _HEADERS, "content": _BYTES},
        "206": {
            "description": "The range",
            "headers": {**_HEADERS, "Content-Range": {"schema": {"type": "string"}}},
            "content": _BYTES,
        },
        "304": {"description": "What you have is still right"},
        **{
            str(status): response
            for status, response in problems(
                *ACCESS,
                errors.OriginalNotInTier,
                errors.ArchiveEmpty,
                errors.ArchiveChanged,
                errors.ArchiveRangeUnsatisfiable,
                errors.ArchiveBusy,
                errors.LocationFreePending,
                InsufficientStorage,
                errors.StoreUnavailable,
            ).items()
        },
    },
}
