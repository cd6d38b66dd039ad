"""The OpenAPI operations of archives."""

from __future__ import annotations

from typing import Any, Final

from kappi_chassis.problems import InsufficientStorage

from kappi_media import errors
from kappi_media.api.components import documented, operation, parameter
from kappi_media.api.operations import ACCESS, CODE

_BYTES: Final = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"schema": {"type": "string"}, "description": "Strong: the same only if every byte is the same"},
    "Accept-Ranges": {"schema": {"const": "bytes"}},
    "Content-Length": {"schema": {"type": "integer"}},
    "Content-Disposition": {
        "schema": {"type": "string"},
        "description": "A file name made of the gallery's title",
    },
}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "examples": [example]}
    return {**parameter(name, "header", description, schema), "required": False}


ARCHIVE: Final = documented(
    operation(
        "downloadArchive",
        "Download the whole gallery",
        "Returns the originals of all ready items as one ZIP, not compressed, with their own names and "
        "times; repeated names become `name (2).jpg`. Items in processing are left out: look at the gallery "
        "first if that matters. `HEAD` returns the length.\n\n"
        "To resume, send `Range` with `If-Range` and the `ETag` of the first answer: 206 continues, 200 "
        "begins anew because the gallery has changed. Only one range at a time is possible. An answer that "
        "breaks off is not complete, whatever the reason. If the tier of the gallery's owner has no access "
        "to originals, there is no archive.\n\n"
        "In a gallery with `max_downloads` an archive is one download. A continued one is none if `If-Range` "
        "has the `ETag` of the answer that it continues.",
        {
            200: {"description": "All of it", "headers": _HEADERS, "content": _BYTES},
            206: {
                "description": "The range",
                "headers": {**_HEADERS, "Content-Range": {"schema": {"type": "string"}}},
                "content": _BYTES,
            },
            304: {"description": "Your copy is still correct"},
        },
        *ACCESS,
        errors.OriginalNotInTier,
        errors.ArchiveEmpty,
        errors.ArchiveChanged,
        errors.ArchiveRangeUnsatisfiable,
        errors.ArchiveBusy,
        errors.LocationFreePending,
        InsufficientStorage,
        errors.StoreUnavailable,
    ),
    parameters=[
        CODE,
        _header("Range", "One range of bytes", "bytes=1048576-"),
        _header("If-Range", "The `ETag` of the archive that the range belongs to", '"b5c1…"'),
        _header("If-None-Match", "The answer is 304 if the archive is still this one", '"b5c1…"'),
        _header("If-Match", "The answer is 412 if the archive is not this one any more", '"b5c1…"'),
    ],
)
