"""The OpenAPI operations of expiring links."""

from __future__ import annotations

from typing import Any

from kappi_chassis.http.app import problems
from kappi_chassis.http.idempotency import SECRET_IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import InsufficientStorage, MalformedJson, PayloadTooLarge, ValidationFailed
from starlette.responses import Response

from kappi_media import errors
from kappi_media.api.components import answer, json_body
from kappi_media.api.operations import ACCESS, NO_CONTENT, REDIRECT, TAG

CREATE_LINK: dict[str, Any] = {
    "operation_id": "createLink",
    "tags": TAG,
    "summary": "Make an expiring link",
    "description": (
        "Whoever has the link gets the original without any other credential, for `valid_for` seconds, 300 "
        "to 30,000, and never longer than the gallery lives. It is shown here only: what is stored is a "
        "hash. The owner's tier must have expiring links."
    ),
    "status_code": 201,
    "openapi_extra": {"requestBody": json_body("LinkRequest"), "parameters": [SECRET_IDEMPOTENCY_KEY]},
    "responses": {
        201: answer("NewLink", "The link"),
        **problems(
            MalformedJson,
            IdempotencyKeyInvalid,
            *ACCESS,
            errors.LinksNotInTier,
            errors.OriginalNotInTier,
            errors.MediaNotFound,
            PayloadTooLarge,
            ValidationFailed,
            IdempotencyKeyReused,
        ),
    },
}
LIST_LINKS: dict[str, Any] = {
    "operation_id": "listLinks",
    "tags": TAG,
    "summary": "List an item's live links",
    "description": "Those that still work, in the order they were made; without the links themselves.",
    "responses": {
        200: answer("LinkPage", "A page of links"),
        **problems(*ACCESS, errors.MediaNotFound, ValidationFailed),
    },
}
REVOKE_LINK: dict[str, Any] = {
    "operation_id": "revokeLink",
    "tags": TAG,
    "summary": "Revoke a link",
    "description": (
        "It stops working at once. A download somebody began with it may go on for ten minutes at most."
    ),
    "status_code": 204,
    "responses": {**NO_CONTENT, **problems(*ACCESS, errors.LinkNotFound, ValidationFailed)},
}
FOLLOW_LINK: dict[str, Any] = {
    "operation_id": "followLink",
    "tags": TAG,
    "summary": "Follow a link",
    "description": (
        "To the original, under its file name; no credential is needed. The URL it leads to ends with the "
        "link. From the second it expires the answer is 410, and 404 once it was cleared away. Parameters of "
        "a query are ignored, because programs that pass a link on add some."
    ),
    "status_code": 302,
    "response_class": Response,  # no body, so none is documented
    "responses": {
        302: REDIRECT,
        **problems(
            errors.LinkNotFound,
            errors.MediaNotFound,
            errors.MediaNotReady,
            errors.LinkExpired,
            errors.LocationNotRemovable,
            errors.LocationFreePending,
            InsufficientStorage,
            errors.StoreUnavailable,
        ),
    },
}
