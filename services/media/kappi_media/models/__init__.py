"""The tables of the media database.

Rows refer to their gallery without a foreign key: every change of an item updates the row in `contents`, and
the key's check would make each insert wait for that row a second time. The deletion of a gallery removes them
explicitly.
"""

from __future__ import annotations

from typing import Final

from kappi_media.models import account, gallery, item, library_index, playback, upload
from kappi_media.models.base import metadata

__all__ = [
    "NUMBERS",
    "VERSIONS",
    "account",
    "gallery",
    "item",
    "library_index",
    "metadata",
    "playback",
    "upload",
]

VERSIONS: Final = (gallery.contents.c.version, item.items.c.version, item.deleted_media.c.version)
"""The columns from which the sequences of published events are taken."""
NUMBERS: Final = (item.object_folders, gallery.access_flushes)
"""The sequences whose numbers name folders of the store, and events."""
