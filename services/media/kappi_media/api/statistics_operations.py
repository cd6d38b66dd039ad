"""The OpenAPI operations of statistics."""

from __future__ import annotations

from typing import Any

from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http.app import problems
from kappi_chassis.problems import ValidationFailed

from kappi_media import errors
from kappi_media.api.components import answer
from kappi_media.api.operations import ACCESS

TAG = ["Statistics"]

ACCOUNT_STATS: dict[str, Any] = {
    "operation_id": "getMyStats",
    "tags": TAG,
    "summary": "What I store",
    "description": (
        "Items and bytes in the account's galleries, by kind, by media type and by UTC day of upload, and "
        "what is used of the quota. Without `from` and `to`, the last thirty days; `library` is everything."
    ),
    "responses": {
        200: answer("AccountStats", "What the account stores"),
        **problems(AccessTokenMissing, AccessTokenInvalid, KeysUnavailable, ValidationFailed),
    },
}
ACCESS_LOG: dict[str, Any] = {
    "operation_id": "listAccesses",
    "tags": TAG,
    "summary": "The access log of a gallery",
    "description": (
        "For its manager: how often the gallery was looked at and taken home in an hour from a network, the "
        "newest hours first, for ninety days. Counts are rounded up to a multiple of five. Addresses are "
        "shortened to a /24 or a /48, and nothing else of "
        "a viewer is kept. Pages, item calls, renditions on request, signed downloads, archives and followed "
        "links are counted, some seconds after they were answered; the use of a page's own URLs is not."
    ),
    "responses": {
        200: answer("AccessPage", "A page of the log"),
        **problems(*ACCESS, errors.GalleryKeyWrong, ValidationFailed),
    },
}
