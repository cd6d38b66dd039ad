"""The OpenAPI operations of statistics."""

from __future__ import annotations

from typing import Final

from kappi_chassis.problems import ValidationFailed

from kappi_media import errors
from kappi_media.api.components import answer, operation
from kappi_media.api.library_operations import ACCOUNT
from kappi_media.api.operations import ACCESS

TAG: Final = "Statistics"

ACCOUNT_STATS: Final = operation(
    "getMyStats",
    "What I store",
    "Returns items and bytes in the account's galleries, by kind, by media type and by UTC day of upload, "
    "and what is used of the quota. Without `from` and `to`, the last thirty days; `library` is everything.",
    {200: answer("AccountStats", "What the account stores")},
    *ACCOUNT,
    ValidationFailed,
    tag=TAG,
)
ACCESS_LOG: Final = operation(
    "listAccesses",
    "The access log of a gallery",
    "For its manager: how often the gallery was viewed and downloaded from a network in an hour, for ninety "
    "days, the newest hours first. Counts are rounded up to a multiple of five. Addresses are shortened to a "
    "/24 or a /48, and nothing else about a viewer is kept. Counted are pages, calls for items, renditions "
    "on request, signed downloads, archives and followed links, some seconds after they were answered; the "
    "use of the URLs on a page is not.",
    {200: answer("AccessPage", "A page of the log")},
    *ACCESS,
    errors.GalleryKeyWrong,
    ValidationFailed,
    tag=TAG,
)
