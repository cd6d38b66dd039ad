"""The OpenAPI operations of a gallery's items as a whole: their list, their order and its cover."""

from __future__ import annotations

from typing import Final

from kappi_chassis.http.idempotency import IDEMPOTENCY_KEY
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import InsufficientStorage, MalformedJson, PayloadTooLarge, ValidationFailed

from kappi_media import errors
from kappi_media.api.components import answer, documented, json_body, operation
from kappi_media.api.operations import ACCESS, CODE, REDIRECT

LIST_ITEMS: Final = operation(
    "listGalleryItems",
    "List the items of a gallery as its manager",
    "Returns the items in the order of the gallery, also of a private one, which has no code. Rejected items "
    "are left out. Originals are listed as they were uploaded, whatever the gallery's viewers get.",
    {200: answer("ManagedItemPage", "A page of items")},
    *ACCESS,
    errors.GalleryKeyWrong,
    ValidationFailed,
)
REORDER: Final = operation(
    "reorderItems",
    "Change the order of a gallery's items",
    "Either moves up to 1,000 items (`ids`), in this order, before another item or to the end. Or sorts all "
    "items once (`sort`): as they were `added`, by the time they were `taken` (items without one last), or "
    "by `name`, in which numbers count as numbers. Items that are added later come last. The gallery's page, "
    "its archive and the list for its manager have this order.\n\n"
    "Ids of items that are not in the gallery, or not any more, are in `not_found`; the other items are "
    "moved. Nothing is moved if none of them is found, or `before` is not. Doing it twice has the effect of "
    "once. A page that is being read goes on after any change: an item that is not moved is neither skipped "
    "nor repeated. Thousands of single moves between the same two items use up the room there "
    "(`order_exhausted`); one call that names all of them in their order makes new room.",
    {200: answer("OrderChanged", "The items that were moved")},
    MalformedJson,
    IdempotencyKeyInvalid,
    *ACCESS,
    errors.GalleryKeyWrong,
    errors.MediaNotFound,
    errors.OrderExhausted,
    PayloadTooLarge,
    ValidationFailed,
    errors.TooManyToSort,
    IdempotencyKeyReused,
    errors.SortBusy,
    openapi_extra={"requestBody": json_body("OrderChange"), "parameters": [IDEMPOTENCY_KEY]},
)
COVER: Final = documented(
    operation(
        "getCover",
        "Get the cover of a gallery",
        "Redirects to a JPEG of 400 pixels height: of the item that the manager named as cover "
        "(`cover_media_id`), else of the first item that is ready. A film shows its poster. It is meant for "
        "link previews: it is no view, and no access in the statistics. It answers like an expired gallery "
        "as soon as a cap on views or downloads is reached.",
        {302: REDIRECT},
        *ACCESS,
        errors.CoverNotFound,
        errors.RenditionImpossible,
        ValidationFailed,
        errors.RenditionsBusy,
        InsufficientStorage,
        errors.StoreUnavailable,
    ),
    parameters=[CODE],
)
