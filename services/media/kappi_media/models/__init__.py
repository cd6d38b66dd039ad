"""The tables of the media database.

Rows refer to their gallery without a foreign key: every change of an item updates the row in `contents`, and
the key's check would make each insert wait for that row a second time. The deletion of a gallery removes them
explicitly.
"""

from __future__ import annotations

from kappi_media.models import account, gallery, item, library_index, upload
from kappi_media.models.base import metadata

__all__ = ["account", "gallery", "item", "library_index", "metadata", "upload"]
