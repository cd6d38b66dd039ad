"""The tables of the media database.

Rows refer to their gallery without a foreign key: every change of an item updates the row in `contents`, and
the key's check would make each insert wait for that row a second time. The deletion of a gallery removes them
explicitly.
"""

from __future__ import annotations

from kappi_media.models.account import accounts, post_pictures, tiers
from kappi_media.models.base import idempotency, inbox, metadata, outbox
from kappi_media.models.gallery import access_flushes, access_log, contents, usage_days
from kappi_media.models.item import (
    deleted_media,
    items,
    links,
    location_free_copies,
    moves,
    object_folders,
    rendition_claims,
    renditions,
)
from kappi_media.models.library_index import library, library_names, library_terms
from kappi_media.models.upload import ended_promises, promise_budgets, upload_jobs, uploads

__all__ = [
    "access_flushes",
    "access_log",
    "accounts",
    "contents",
    "deleted_media",
    "ended_promises",
    "idempotency",
    "inbox",
    "items",
    "library",
    "library_names",
    "library_terms",
    "links",
    "location_free_copies",
    "metadata",
    "moves",
    "object_folders",
    "outbox",
    "post_pictures",
    "promise_budgets",
    "rendition_claims",
    "renditions",
    "tiers",
    "upload_jobs",
    "uploads",
    "usage_days",
]
