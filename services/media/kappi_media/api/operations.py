"""The OpenAPI operations of uploads and items. Schemas come from `schemas.py`, failures from `errors.py`."""

from __future__ import annotations

from typing import Any, Final

from kappi_chassis.auth import GrantInvalid
from kappi_chassis.http.idempotency import IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import (
    InsufficientStorage,
    MalformedJson,
    PayloadTooLarge,
    Unauthenticated,
    ValidationFailed,
)
from starlette.responses import Response

from kappi_media import errors
from kappi_media.api.components import answer, documented, json_body, operation, parameter, path_id
from kappi_media.api.content_negotiation import PREFERRED

ACCESS: Final = (Unauthenticated, GrantInvalid, errors.RightMissing, errors.GalleryNotFound)
CONTRIBUTING: Final = (
    errors.ContributionsClosed,
    errors.ContributorKeyWrong,
    errors.ContributionLimitExceeded,
)
NO_CONTENT: Final[dict[int | str, Any]] = {204: {"description": "Done. The answer has no body"}}
REDIRECT: Final[dict[str, Any]] = {
    "description": "To the signed URL of the bytes",
    "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
}
CODE: Final = parameter(
    "code", "path", "The short code, in upper or lower case", {"type": "string", "examples": ["k7dm"]}
)

SIGN_BATCH: Final = documented(
    operation(
        "signUploads",
        "Sign a batch of uploads",
        "Declares up to 100 files. Each gets a signed URL. Send the file there as the body, with the given "
        "method and exactly the given headers, then complete its upload. The store accepts only the declared "
        "size and type (and SHA-256, if declared), and only once. Files over 16 MiB get the URLs of their "
        "first parts instead, at most 500 in all; `connection` and the size determine how large parts are. "
        "All files are reserved, or none. Reserved files count towards the storage quota of the gallery's "
        "owner until the upload is aborted or abandoned. Without an account they count towards a budget of "
        "the client's address and one of the gallery, until the upload is completed, or is aborted or "
        "expired and its URL has expired too. Above a budget, `too_much_promised` says how much is open. "
        "What contributors add has limits of its own, per contributor and per gallery, and what they did not "
        "complete has one per address and per gallery, with the same code.\n\n"
        "An XMP sidecar of a picture (`IMG_1.xmp` or `IMG_1.CR3.xmp`, up to 1 MiB) is declared in the batch "
        "of its picture. Its upload has `sidecar` and the picture's `media_id`. It is kept with the picture, "
        "as `application/rdf+xml` whatever was declared, and read for rating, title, keywords and caption. "
        "One that belongs to no picture of the batch by its name, or to more than one, is refused "
        "(`sidecar_without_picture`), and so is a second one of a picture (`sidecar_repeated`).\n\n"
        "With `Idempotency-Key` a retry gets the same uploads with new URLs, and no second set.",
        {201: answer("PromisedBatch", "The uploads, in the order of the files")},
        MalformedJson,
        IdempotencyKeyInvalid,
        *ACCESS,
        *CONTRIBUTING,
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
    parameters=[path_id("gallery"), IDEMPOTENCY_KEY],
    requestBody=json_body("BatchDeclaration"),
)
SIGN_PARTS: Final = documented(
    operation(
        "signParts",
        "Sign parts of an upload",
        "Returns new URLs of up to 100 parts of a multipart upload. PUT the bytes of a part to its URL, "
        "exactly as many as it has, with no header except `Content-Length` and, to have the bytes checked, "
        "`Content-MD5`. The `ETag` of the answer identifies what arrived. Parts may be sent in any order and "
        "at the same time; a part that is sent again replaces the earlier one.",
        {200: answer("SignedParts", "The URLs of the parts")},
        MalformedJson,
        *ACCESS,
        errors.ContributionsClosed,
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
    parameters=[path_id("upload")],
    requestBody=json_body("PartNumbers"),
)
COMPLETE_UPLOAD: Final = documented(
    operation(
        "completeUpload",
        "Complete an upload",
        "Tells the server that the bytes are in the store. The server checks the parts, the size, the "
        "SHA-256 if it was declared, and the first bytes. The answer is the new item. It is still "
        "`processing`: its dimensions and renditions follow soon. The declared SHA-256 of a large file is "
        "also checked later; until then `sha256` is null.\n\n"
        "Completing twice has the effect of once, so retries are safe. `upload_incomplete` lists the parts "
        "that are missing: send them and complete again. `content_mismatch` is final: the upload is over and "
        "its bytes are removed. The body may be empty.\n\n"
        "The answer for an XMP sidecar is the item of its picture. The order does not matter.",
        {
            200: answer("ItemView", "The item"),
            202: answer("SidecarWaiting", "The XMP sidecar is stored, and its picture is not completed yet"),
        },
        MalformedJson,
        *ACCESS,
        errors.ContributionsClosed,
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
    parameters=[path_id("upload")],
    requestBody={**json_body("Completion"), "required": False},
)
LOOK_AT_UPLOAD: Final = operation(
    "getUpload",
    "Get an upload",
    "Returns its state and, while bytes may still arrive, new signed URLs for them. For a multipart upload "
    "these are the parts that the store has, and the URLs of the first 100 that are missing. This is how an "
    "upload continues after an app was closed, a network changed, or URLs expired.",
    {200: answer("UploadStatus", "The upload")},
    *ACCESS,
    errors.ContributionsClosed,
    errors.UploadNotFound,
    ValidationFailed,
    errors.StoreUnavailable,
)
ABORT_UPLOAD: Final = operation(
    "abortUpload",
    "Abort an upload",
    "Bytes that have arrived are removed. To remove a completed upload, delete its item.",
    NO_CONTENT,
    *ACCESS,
    errors.UploadNotFound,
    errors.UploadCompletedAlready,
    ValidationFailed,
    status_code=204,
)
LOOK_AT_ITEM: Final = operation(
    "getMedia",
    "Get an item",
    "Returns the item with signed URLs of its original and renditions, valid for ten minutes at least. An "
    "item whose file is no picture or film is `rejected`, with a `rejection_reason`, and has no URLs. While "
    "an item is `processing`, its original is only for callers that may upload to the gallery.",
    {200: answer("ItemView", "The item")},
    *ACCESS,
    errors.MediaNotFound,
    ValidationFailed,
)
DESCRIBE_ITEM: Final = operation(
    "describeMedia",
    "Change an item's description",
    "Fields that are left out stay as they are; null clears a field. A contributor changes its own items.",
    {200: answer("ItemView", "The item after the change")},
    MalformedJson,
    *ACCESS,
    errors.MediaNotFound,
    PayloadTooLarge,
    ValidationFailed,
    openapi_extra={"requestBody": json_body("ItemChanges")},
)
DELETE_ITEM: Final = operation(
    "deleteMedia",
    "Delete an item",
    "The item is gone at once for every viewer. Its original and renditions are removed from the store. A "
    "contributor deletes its own items.",
    NO_CONTENT,
    *ACCESS,
    errors.MediaNotFound,
    ValidationFailed,
    status_code=204,
)
DOWNLOAD_ITEM: Final = operation(
    "downloadMedia",
    "Get the original",
    "Returns a signed URL of the bytes as they were uploaded, under their file name; with `redirect=true` a "
    "302 to it. Range requests work, so an interrupted download can continue. The tier of the gallery's "
    "owner decides whether originals are available; this is the same for all callers.\n\n"
    "In a gallery with `location_free` viewers get a copy without the place where the original was made. The "
    "first request for it makes the copy. The gallery's manager gets the original.\n\n"
    "Until an item is `ready`, only callers that may upload to the gallery get its original; others are "
    "answered 409 `media_not_ready`.\n\n"
    "In a gallery with `max_downloads` each answer to a caller that does not manage it is a download. Items "
    "list URLs of this operation as their originals there. They are signed: they need no credential and are "
    "valid as long as the other URLs beside them. Continue a download at the URL that the redirect leads to: "
    "that is no further download.",
    {200: answer("SignedUrl", "The URL of the original"), 302: REDIRECT},
    *ACCESS,
    errors.OriginalNotInTier,
    errors.DownloadUrlInvalid,
    errors.MediaNotFound,
    errors.MediaNotReady,
    errors.LocationNotRemovable,
    errors.LocationFreePending,
    InsufficientStorage,
    errors.StoreUnavailable,
    ValidationFailed,
)
_ACCEPT: Final = {
    **parameter(
        "Accept",
        "header",
        "Formats that the client can show",
        {"type": "string", "examples": ["image/avif, image/webp, */*;q=0.8"]},
    ),
    "required": False,
}
_VARY: Final = {"schema": {"type": "string", "const": "Accept"}}
RENDITION: Final = operation(
    "getRendition",
    "Get a rendition",
    "Returns the picture, or a frame that represents the film: upright, without metadata, in sRGB. A WebP or "
    "AVIF keeps the colours of Display P3, and an AVIF the high dynamic range of a picture. `400` is 400 "
    "pixels high, never enlarged. `600x400` is a cover: the middle of the picture, exactly 600 pixels wide "
    "and 400 high. The tier of the gallery's owner determines the heights; a cover is available if both its "
    "sides are among them. The first request for a rendition makes it, which takes some time; from then on "
    "it is stored and, as JPEG, listed with the item.\n\n"
    "An item lists URLs of this operation for sizes that are not made yet. They are signed: they need no "
    "credential, are valid as long as the other URLs beside them, and lead to the JPEG.\n\n"
    f"The format is JPEG, unless `Accept` names {PREFERRED} with no lower quality than JPEG; at the same "
    "quality, the first of these. A wildcard means JPEG. An animated GIF or WebP is animated as WebP, too, "
    "unless it has very many or very large frames.",
    {302: {**REDIRECT, "headers": {**REDIRECT["headers"], "Vary": _VARY}}},
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
    status_code=302,
    response_class=Response,  # no body, so none is documented
    openapi_extra={"parameters": [_ACCEPT]},
)
VIEW_GALLERY: Final = documented(
    operation(
        "viewGallery",
        "Open a shared gallery",
        "Returns the gallery and a page of its items, with signed URLs valid for ten minutes at least. Items "
        "in processing are shown as such, without their originals. Follow `next_cursor` for more: no item is "
        "skipped or repeated, whatever is added or deleted meanwhile.\n\n"
        "In a gallery whose `contributions` are `drop`, a viewer gets no items, a contributor its own, and "
        "the manager all: they send `X-Contributor-Key`, `X-Gallery-Key` or the owner's token as well.\n\n"
        "Poll with `If-None-Match`: 304 means that your copy is still correct, including its URLs.\n\n"
        "In a gallery with `max_views` each answer of the first page is a view, 304 included, unless "
        "`X-Gallery-Key` or the owner's token is sent with the request. When a cap is reached, the answer is "
        "that for a gallery that has expired.",
        {
            200: {
                **answer("SharedGalleryPage", "The gallery and a page of items"),
                "headers": {"ETag": {"schema": {"type": "string"}}},
            },
            304: {"description": "Nothing has changed since your copy"},
        },
        Unauthenticated,
        GrantInvalid,
        errors.GalleryNotFound,
        ValidationFailed,
    ),
    parameters=[
        CODE,
        parameter(
            "limit",
            "query",
            "Items per page; more than 500 counts as 500",
            {"type": "integer", "minimum": 1, "default": 100},
        ),
        parameter("cursor", "query", "`next_cursor` of the page before", {"type": "string"}),
        parameter("If-None-Match", "header", "`ETag` of your copy", {"type": "string"}),
    ],
)
