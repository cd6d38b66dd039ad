"""The OpenAPI operations of the library."""

from __future__ import annotations

from typing import Any

from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http.app import problems
from kappi_chassis.http.idempotency import IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import MalformedJson, PayloadTooLarge, ValidationFailed

from kappi_media.api.components import answer, json_body
from kappi_media.api.operations import TAG
from kappi_media.errors import GalleryNotFound

ACCOUNT = (AccessTokenMissing, AccessTokenInvalid, KeysUnavailable)

SEARCH: dict[str, Any] = {
    "operation_id": "searchMedia",
    "tags": TAG,
    "summary": "Search my library",
    "description": (
        "Items in all galleries of the account, without rejected ones; every filter can be combined with "
        "every other, and an item has to pass them all. Times `…_from` count from that instant on, `…_to` "
        "before it; both take a date instead, which begins in UTC. Where a file does not say when it was "
        "taken, the time of its upload stands for that, in filters and in the order.\n\n"
        "A page looks at a bounded part of the library, so it can hold fewer items than `limit`, even none, "
        "and still have a `next_cursor`: go on until that is null. A change between two pages neither skips "
        "nor repeats an item that keeps its place in the order."
    ),
    "responses": {
        200: answer("LibraryPage", "A page of items, in the order asked for"),
        **problems(*ACCOUNT, ValidationFailed),
    },
}
TAGS: dict[str, Any] = {
    "operation_id": "listTags",
    "tags": TAG,
    "summary": "List the tags of my library",
    "description": (
        "Each with the number of items that have it: the most used first or, with `q`, those that begin like "
        "it, by their letters. Tags that differ in case or accents only are one, written as it was first."
    ),
    "responses": {200: answer("TagPage", "A page of tags"), **problems(*ACCOUNT, ValidationFailed)},
}
PLACES: dict[str, Any] = {
    "operation_id": "listPlaces",
    "tags": TAG,
    "summary": "List the places of my library",
    "description": (
        "Names of places that items were given, each with the number of items: the most used first or, with "
        "`q`, those that begin like it, by their letters. Names that differ in case or accents only are one, "
        "written as it was first."
    ),
    "responses": {200: answer("PlacePage", "A page of places"), **problems(*ACCOUNT, ValidationFailed)},
}
BULK: dict[str, Any] = {
    "operation_id": "changeMedia",
    "tags": TAG,
    "summary": "Change many items at once",
    "description": (
        "Up to 1,000 items in any of the account's galleries: `tag` adds tags to them, `untag` takes tags "
        "away, whatever their case and accents are, `move` puts them into another gallery of the account "
        "(`gallery_id`), `delete` removes them for everyone. Fifty at a time "
        "are changed, all or none of these; each id has an outcome of its own. An item that is not there, or "
        "is not the account's, is `refused` with `media_not_found`; one that would have more than 50 tags "
        "with `too_many_tags`.\n\n"
        "An item that moves keeps its id, its description and its expiring links; its access counts stay "
        "with the gallery they were made in. Its objects are copied first: the call waits for that, up to 15 "
        "seconds. What takes longer is `pending`: the item stays in its old gallery until it is copied, and "
        "`GET /v1/media/{id}` or the same call again tells where it is. A gallery that is deleted meanwhile "
        "takes the items along that are in it. A later request for the item takes the place of an earlier "
        "one. URLs that were handed out before work until they expire. Refused are items that are still "
        "being processed (`media_not_ready`), what cannot be copied (`move_failed`), and more than an "
        "account may move in six hours (`too_many_moves`: three times the bytes it uses and 1 GiB).\n\n"
        "Doing it twice is the same as once, but for items that the first time deleted. With "
        "`Idempotency-Key` a retry gets the first outcomes, and does what was left undone."
    ),
    "openapi_extra": {"requestBody": json_body("BulkChange"), "parameters": [IDEMPOTENCY_KEY]},
    "responses": {
        200: answer("BulkResults", "What became of each"),
        **problems(
            MalformedJson,
            IdempotencyKeyInvalid,
            *ACCOUNT,
            GalleryNotFound,
            PayloadTooLarge,
            ValidationFailed,
            IdempotencyKeyReused,
        ),
    },
}
