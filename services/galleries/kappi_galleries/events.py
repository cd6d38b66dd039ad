"""Builds the events about created and changed galleries."""

from __future__ import annotations

from kappi_contracts.events import GalleryCreated, GalleryUpdated

from kappi_galleries.domain.galleries import Gallery


def created(gallery: Gallery) -> GalleryCreated:
    return GalleryCreated(
        gallery_id=gallery.id,
        owner_id=gallery.owner_id,
        visibility=gallery.visibility,
        expires_at=gallery.expires_at,
        created_at=gallery.created_at,
    )


def updated(gallery: Gallery) -> GalleryUpdated:
    """Returns the event of a change, including one of code, key or password; services that cache grants then
    drop them.
    """
    return GalleryUpdated(
        gallery_id=gallery.id,
        owner_id=gallery.owner_id,
        visibility=gallery.visibility,
        expires_at=gallery.expires_at,
        updated_at=gallery.updated_at,
        location_free=gallery.location_free,
        closed=gallery.is_closed,
        contributions=gallery.contributions,
    )
