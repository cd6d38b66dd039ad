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
    CoverUnavailable,
    ExpiryNotForAccounts,
    GalleryKeyMissing,
    GalleryKeyWrong,
    GalleryNotFound,
    MediaNotFound,
    MediaNotReady,
    TierWithholds,
    TooManyCodes,
)

_TOKEN = (AccessTokenInvalid, KeysUnavailable)
MANAGER_PROBLEMS = (GalleryKeyMissing, *_TOKEN, GalleryKeyWrong, GalleryNotFound, ValidationFailed)
_IDEMPOTENCY = (IdempotencyKeyInvalid, IdempotencyKeyReused)

CREATE: dict[str, Any] = {
    "operation_id": "createGallery",
    "summary": "Create a gallery",
    "description": "With an access token, the gallery belongs to the account: it has no end, may be private, "
    "and may require a password from its viewers. Without a token, the gallery is anonymous: the answer "
    "holds the `access_key`, which is shown only here and is needed to add, change and delete. The gallery "
    "and its content are deleted at `expires_at`. Viewers need only the `code` or the `url`.",
    "openapi_extra": {"security": [{}]},
    "status_code": 201,
    "response_model": GalleryCreatedAnswer,
    "response_description": "The gallery, with its access key if it is anonymous",
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
    "description": "The galleries of the account, the newest first.",
    "response_model": GalleryPageAnswer,
    "response_description": "A page of galleries",
    "responses": problems(AccessTokenMissing, *_TOKEN, ValidationFailed),
}
READ: dict[str, Any] = {
    "operation_id": "getGallery",
    "summary": "Read a gallery as its manager",
    "response_model": GalleryAnswer,
    "description": "The owner reads it with an access token, and the holder of the access key with that key. "
    "To read its items with the code alone, use `GET /v1/g/{code}`.",
    "response_description": "The gallery",
    "responses": problems(*MANAGER_PROBLEMS),
}
CHANGE: dict[str, Any] = {
    "operation_id": "updateGallery",
    "summary": "Change a gallery",
    "description": "`visibility` and `password` are for galleries of an account: a private gallery hides its "
    "code, and a gallery that is shared again gets a new code, or its old one with `keep_code`. `expires_in` "
    "is for anonymous galleries and counts from now: 2592000 is 30 days from now. A gallery whose cap "
    "(`max_views`, `max_downloads`) is reached can be opened again by a higher cap, or none; a count ends "
    "with its cap. `cover_media_id` names one of the gallery's ready items as its cover.",
    "response_model": GalleryAnswer,
    "response_description": "The gallery after the change",
    "responses": problems(
        MalformedJson,
        *MANAGER_PROBLEMS,
        AccountRequired,
        MediaNotFound,
        MediaNotReady,
        TooManyCodes,
        CodesExhausted,
        CoverUnavailable,
        ExpiryNotForAccounts,
        PasswordsBusy,
    ),
}
REMOVE: dict[str, Any] = {
    "operation_id": "deleteGallery",
    "summary": "Delete a gallery and everything in it",
    "description": "Its link stops working at once, and its files are deleted within seconds. It cannot be "
    "undone. Repeating it has no further effect.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The gallery is deleted",
    "responses": problems(*MANAGER_PROBLEMS),
}
GALLERY_STATS: dict[str, Any] = {
    "operation_id": "getGalleryStats",
    "summary": "Read the number of accesses to a gallery",
    "description": "For its manager, by UTC day. `kinds` counts views of its page, calls about items, "
    "renditions on request, signed downloads, archives and followed links. Requests of the URLs in a page "
    "are not counted. Language, role and app are counted for views, in steps of five in a day, after the day "
    "is over; the remainder is `other`. Without `from` and `to`, the last thirty days are returned. Accesses "
    "appear some seconds later.",
    "response_model": GalleryStatsAnswer,
    "response_description": "The gallery's statistics",
    "responses": problems(*MANAGER_PROBLEMS, Overloaded),
}
TOTAL_STATS: dict[str, Any] = {
    "operation_id": "getTotalStats",
    "summary": "Read the number of accesses to all galleries",
    "description": "For administrators: exact sums over all galleries, deleted ones included, by UTC day. No "
    "gallery is named. Without `from` and `to`, the last thirty days are returned.",
    "response_model": TotalStatsAnswer,
    "response_description": "The totals",
    "responses": problems(AccessTokenMissing, *_TOKEN, AdminRequired, ValidationFailed, Overloaded),
}
CLAIM: dict[str, Any] = {
    "operation_id": "claimGallery",
    "summary": "Take an anonymous gallery into my account",
    "description": "Takes the access token of the account and the gallery's access key. Afterwards the "
    "gallery has no end, and the access key is void. Its code stays. The content of the gallery, pending "
    "uploads included, counts for the account's quota. Nothing is changed if there is no room for it, or if "
    "a file is larger than the account's tier allows. Nothing is changed either if the tier withholds "
    "something that the gallery's viewers have now, such as the originals, unless `accept_tier` is sent.",
    # Both schemes are required; FastAPI would describe them as alternatives.
    "openapi_extra": {"security": [{"AccountToken": [], "GalleryKey": []}]},
    "response_model": GalleryAnswer,
    "response_description": "The gallery, now the account's",
    "responses": problems(
        AccessTokenMissing,
        *MANAGER_PROBLEMS,
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
    "description": "The old code and link stop working. They are never assigned again.",
    "response_model": GalleryCodeAnswer,
    "response_description": "The new code",
    "responses": problems(*MANAGER_PROBLEMS, *_IDEMPOTENCY, TooManyCodes, CodesExhausted),
}
ROTATE_KEY: dict[str, Any] = {
    "operation_id": "rotateGalleryKey",
    "summary": "Give an anonymous gallery a new access key",
    "description": "Takes the old access key, which stops working. Send an `Idempotency-Key`: if the answer "
    "is lost, only a repetition of the same request returns the new key.",
    "response_model": AccessKeyAnswer,
    "response_description": "The new access key, shown once",
    "responses": problems(*MANAGER_PROBLEMS, *_IDEMPOTENCY),
}
