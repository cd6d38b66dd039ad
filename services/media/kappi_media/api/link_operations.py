"""The OpenAPI operations of expiring links."""

from __future__ import annotations

from typing import Final

from kappi_chassis.http.idempotency import SECRET_IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import InsufficientStorage, MalformedJson, PayloadTooLarge, ValidationFailed
from starlette.responses import Response

from kappi_media import errors
from kappi_media.api.components import answer, json_body, operation
from kappi_media.api.operations import ACCESS, NO_CONTENT, REDIRECT

CREATE_LINK: Final = operation(
    "createLink",
    "Make an expiring link",
    "The bearer of the link gets the original without any other credential, for `valid_for` seconds, 300 to "
    "30,000, and never longer than the gallery exists. The link is shown only here, because only its hash is "
    "stored. The owner's tier must have expiring links.\n\n"
    "With `max_views` or `max_downloads` the link answers as one that has expired once it was followed so "
    "often. A link has no page, so following it is a view and a download; the smaller number counts. A "
    "followed link is no download of its gallery.",
    {201: answer("NewLink", "The link")},
    MalformedJson,
    IdempotencyKeyInvalid,
    *ACCESS,
    errors.LinksNotInTier,
    errors.OriginalNotInTier,
    errors.MediaNotFound,
    PayloadTooLarge,
    ValidationFailed,
    IdempotencyKeyReused,
    status_code=201,
    openapi_extra={"requestBody": json_body("LinkRequest"), "parameters": [SECRET_IDEMPOTENCY_KEY]},
)
LIST_LINKS: Final = operation(
    "listLinks",
    "List an item's live links",
    "Returns the links that still work, in the order they were made; without their addresses.",
    {200: answer("LinkPage", "A page of links")},
    *ACCESS,
    errors.MediaNotFound,
    ValidationFailed,
)
REVOKE_LINK: Final = operation(
    "revokeLink",
    "Revoke a link",
    "The link stops working at once. A download that was begun with it may continue for ten minutes at most.",
    NO_CONTENT,
    *ACCESS,
    errors.LinkNotFound,
    ValidationFailed,
    status_code=204,
)
FOLLOW_LINK: Final = operation(
    "followLink",
    "Follow a link",
    "Leads to the original, under its file name; no credential is needed. The URL it leads to ends with the "
    "link. From the second it expires the answer is 410, and 404 once it has been removed. Parameters of a "
    "query are ignored, because programs that pass a link on add some.",
    {302: REDIRECT},
    errors.LinkNotFound,
    errors.MediaNotFound,
    errors.MediaNotReady,
    errors.LinkExpired,
    errors.LocationNotRemovable,
    errors.LocationFreePending,
    InsufficientStorage,
    errors.StoreUnavailable,
    status_code=302,
    response_class=Response,  # no body, so none is documented
)
