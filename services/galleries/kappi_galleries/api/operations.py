"""The OpenAPI descriptions of the public operations on galleries."""

from __future__ import annotations

from typing import Any

from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http.app import problems
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.passwords import PasswordsBusy
from kappi_chassis.problems import MalformedJson, Overloaded, ValidationFailed

from kappi_galleries.api.schemas import (
    AccessKeyAnswer,
    GalleryAnswer,
    GalleryCodeAnswer,
    GalleryCreatedAnswer,
    GalleryPageAnswer,
)
from kappi_galleries.api.statistics_schemas import GalleryStatsAnswer, TotalStatsAnswer
from kappi_galleries.errors import (
    AccountRequired,
    AdminRequired,
    ClaimFileTooLarge,
    ClaimInProgress,
    ClaimOverQuota,
    ClaimsUnavailable,
    CodesExhausted,
    ExpiryNotForAccounts,
    GalleryKeyMissing,
    GalleryKeyWrong,
    GalleryNotFound,
    TierWithholds,
    TooManyCodes,
)

_TOKEN = (AccessTokenInvalid, KeysUnavailable)
_MANAGER = (GalleryKeyMissing, *_TOKEN, GalleryKeyWrong, GalleryNotFound, ValidationFailed)
_IDEMPOTENCY = (IdempotencyKeyInvalid, IdempotencyKeyReused)

CREATE: dict[str, Any] = {
    "operation_id": "createGallery",
    "summary": "Create a gallery",
    "description": "With an access token, a gallery of the account: it has no end, may be private, and may "
    "ask its viewers for a password. Without one, an anonymous gallery: the answer holds the `access_key` "
    "that alone lets its holder add, change and delete, shown here once, and the gallery and everything in "
    "it is deleted at `expires_at`. Everybody else needs only the `code` or the `url`.",
    "openapi_extra": {"security": [{}]},
    "status_code": 201,
    "response_model": GalleryCreatedAnswer,
    "response_description": "The gallery; an anonymous one with its access key",
    "responses": problems(
        MalformedJson,
        IdempotencyKeyInvalid,
        *_TOKEN,
        ValidationFailed,
        AccountRequired,
        ExpiryNotForAccounts,
        IdempotencyKeyReused,
        CodesExhausted,
        PasswordsBusy,
    ),
}
LIST: dict[str, Any] = {
    "operation_id": "listGalleries",
    "summary": "List my galleries",
    "description": "Those of the account, the newest first.",
    "response_model": GalleryPageAnswer,
    "response_description": "A page of galleries",
    "responses": problems(AccessTokenMissing, *_TOKEN, ValidationFailed),
}
READ: dict[str, Any] = {
    "operation_id": "getGallery",
    "summary": "Read a gallery as its manager",
    "response_model": GalleryAnswer,
    "description": "As its owner, or with its access key. To look at its items with the code alone, use "
    "`GET /v1/g/{code}`.",
    "response_description": "The gallery",
    "responses": problems(*_MANAGER),
}
CHANGE: dict[str, Any] = {
    "operation_id": "updateGallery",
    "summary": "Change a gallery",
    "description": "`visibility` and `password` are for galleries of an account: private hides the code, and "
    "shared gives it a new one, or with `keep_code` the same again. `expires_in` is for "
    "anonymous ones and counts from now, so that 2592000 gives it 30 more days from here.",
    "response_model": GalleryAnswer,
    "response_description": "The gallery after the change",
    "responses": problems(
        MalformedJson,
        *_MANAGER,
        AccountRequired,
        TooManyCodes,
        CodesExhausted,
        ExpiryNotForAccounts,
        PasswordsBusy,
    ),
}
REMOVE: dict[str, Any] = {
    "operation_id": "deleteGallery",
    "summary": "Delete a gallery and everything in it",
    "description": "At once for everybody who has the link; its files follow within moments. It cannot be "
    "undone. Repeating it is harmless.",
    "status_code": 204,
    "response_model": None,
    "response_description": "It is gone",
    "responses": problems(*_MANAGER),
}
GALLERY_STATS: dict[str, Any] = {
    "operation_id": "getGalleryStats",
    "summary": "How often a gallery was looked at and taken home",
    "description": "For its manager, by UTC day: views of its page, calls about items, renditions on "
    "request, signed downloads, archives and followed links, as `kinds`. What the URLs in a page are used "
    "for is not counted. Language, role and app are those of views, in steps of five a day, once the day "
    "is over; the rest is `other`. Without `from` and `to`, the last thirty days. Accesses appear some "
    "seconds later.",
    "response_model": GalleryStatsAnswer,
    "response_description": "The gallery's statistics",
    "responses": problems(*_MANAGER, Overloaded),
}
TOTAL_STATS: dict[str, Any] = {
    "operation_id": "getTotalStats",
    "summary": "How often all galleries were looked at and taken home",
    "description": "For administrators: exact sums over all galleries, deleted ones included, by UTC day. No "
    "gallery is named. Without `from` and `to`, the last thirty days.",
    "response_model": TotalStatsAnswer,
    "response_description": "The totals",
    "responses": problems(AccessTokenMissing, *_TOKEN, AdminRequired, ValidationFailed, Overloaded),
}
CLAIM: dict[str, Any] = {
    "operation_id": "claimGallery",
    "summary": "Take an anonymous gallery into my account",
    "description": "Takes the access token of the account and the gallery's access key. From then on the "
    "gallery has no end, and the access key opens nothing any more. Its code stays. What the gallery holds, "
    "pending uploads included, counts for the account's quota: where there is no room for it, or a file is "
    "larger than the account's tier allows, nothing is changed. Nor is it where the tier withholds what the "
    "gallery's viewers have now, the originals for instance, unless `accept_tier` is sent.",
    # Both schemes are required; FastAPI would describe them as alternatives.
    "openapi_extra": {"security": [{"AccountToken": [], "GalleryKey": []}]},
    "response_model": GalleryAnswer,
    "response_description": "The gallery, now the account's",
    "responses": problems(
        AccessTokenMissing,
        *_MANAGER,
        *_IDEMPOTENCY,
        ClaimFileTooLarge,
        ClaimInProgress,
        ClaimOverQuota,
        ClaimsUnavailable,
        TierWithholds,
    ),
}
ROTATE_CODE: dict[str, Any] = {
    "operation_id": "rotateGalleryCode",
    "summary": "Give a gallery a new code",
    "description": "The old code and link stop working and are never given to another gallery.",
    "response_model": GalleryCodeAnswer,
    "response_description": "The new code",
    "responses": problems(*_MANAGER, *_IDEMPOTENCY, TooManyCodes, CodesExhausted),
}
ROTATE_KEY: dict[str, Any] = {
    "operation_id": "rotateGalleryKey",
    "summary": "Give an anonymous gallery a new access key",
    "description": "Takes the old access key, which stops working. Send an `Idempotency-Key`: if the answer "
    "gets lost, only the same request again brings the new key back.",
    "response_model": AccessKeyAnswer,
    "response_description": "The new access key, shown once",
    "responses": problems(*_MANAGER, *_IDEMPOTENCY),
}
