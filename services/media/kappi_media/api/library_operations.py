"""The OpenAPI operations of the library."""

from __future__ import annotations

from typing import Final

from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_chassis.auth.verifier import KeysUnavailable
from kappi_chassis.http.idempotency import IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import MalformedJson, PayloadTooLarge, ValidationFailed

from kappi_media.api.components import answer, json_body, operation
from kappi_media.errors import GalleryNotFound

ACCOUNT: Final = (AccessTokenMissing, AccessTokenInvalid, KeysUnavailable)

SEARCH: Final = operation(
    "searchMedia",
    "Search my library",
    "Returns items in all galleries of the account, without rejected ones. Filters can be combined; an item "
    "has to match all of them. Times `…_from` match from that instant on, `…_to` before it; both also accept "
    "a date, which begins in UTC. If a file does not say when it was taken, the time of its upload counts "
    "instead, in filters and in the order.\n\n"
    "A page looks at a bounded part of the library, so it can contain fewer items than `limit`, even none, "
    "and still have a `next_cursor`: continue until that is null. A change between two pages neither skips "
    "nor repeats an item that keeps its place in the order.",
    {200: answer("LibraryPage", "A page of items, in the requested order")},
    *ACCOUNT,
    ValidationFailed,
)
TAGS: Final = operation(
    "listTags",
    "List the tags of my library",
    "Each tag has the number of its items. The most used come first; with `q`, those that begin with it, in "
    "alphabetical order. Tags that differ only in case or accents are one, in the spelling that was first.",
    {200: answer("TagPage", "A page of tags")},
    *ACCOUNT,
    ValidationFailed,
)
PLACES: Final = operation(
    "listPlaces",
    "List the places of my library",
    "Returns the names of places that items were given, each with the number of items. The most used come "
    "first; with `q`, those that begin with it, in alphabetical order. Names that differ only in case or "
    "accents are one, in the spelling that was first.",
    {200: answer("PlacePage", "A page of places")},
    *ACCOUNT,
    ValidationFailed,
)
BULK: Final = operation(
    "changeMedia",
    "Change many items at once",
    "Changes up to 1,000 items in any of the account's galleries: `tag` adds tags to them, `untag` removes "
    "tags, whatever their case and accents are, `move` moves them to another gallery of the account "
    "(`gallery_id`), `delete` removes them for every viewer. Twenty at a time are changed, all of them or "
    "none; each id has an outcome of its own. An item that does not exist, or is not the account's, is "
    "`refused` with `media_not_found`; an item that would have more than 50 tags with `too_many_tags`.\n\n"
    "An item that moves keeps its id, its description and its expiring links; its access counts stay with "
    "the gallery in which they were made. Its objects are copied first: the call waits for that, up to 15 "
    "seconds. What takes longer is `pending`: the item stays in its old gallery until it is copied, and "
    "`GET /v1/media/{id}` or the same call again shows where it is. A gallery that is deleted meanwhile "
    "takes the items in it along. A later request for the item replaces an earlier one. URLs that were "
    "issued before work until they expire. Refused are items in processing (`media_not_ready`), items that "
    "cannot be copied (`move_failed`), and more than an account may move in six hours (`too_many_moves`: "
    "three times the bytes it uses and 1 GiB).\n\n"
    "Doing it twice has the effect of once, except for items that the first call deleted. With "
    "`Idempotency-Key` a retry gets the first outcomes, and does what was not done yet.",
    {200: answer("BulkResults", "The outcome of each item")},
    MalformedJson,
    IdempotencyKeyInvalid,
    *ACCOUNT,
    GalleryNotFound,
    PayloadTooLarge,
    ValidationFailed,
    IdempotencyKeyReused,
    openapi_extra={"requestBody": json_body("BulkChange"), "parameters": [IDEMPOTENCY_KEY]},
)
