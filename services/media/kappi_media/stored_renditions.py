"""Making a rendition and putting it into the store: the step the worker and the first request share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from kappi_chassis.storage import ObjectStore
from kappi_contracts.keys import rendition_key

from kappi_media.domain import GalleryId, MediaId
from kappi_media.probing import Probe, RangedSource
from kappi_media.rendering.sizes import RenderedImage, RenditionSize

RENDITION_TYPE = "image/jpeg"


class Rendering(Protocol):
    """Makes renditions somewhere off the event loop, bounded in number, memory and time."""

    async def render(
        self, source: RangedSource, probe: Probe, sizes: Sequence[RenditionSize]
    ) -> tuple[RenderedImage, ...]:
        """One JPEG per size, in order. Raises Rejected when the file is at fault."""
        ...


class KeptRendition(NamedTuple):
    """A rendition that lies in the store. width, height: pixels."""

    size: str
    width: int
    height: int
    size_bytes: int


class RenditionMaker:
    """Renders one size and puts it under its key; doing it twice is the same as once."""

    def __init__(self, *, rendering: Rendering, store: ObjectStore) -> None:
        self._rendering = rendering
        self._store = store

    async def make(
        self, source: RangedSource, probe: Probe, *, gallery_id: GalleryId, media_id: MediaId, size: str
    ) -> KeptRendition:
        """Raises Rejected, ObjectMissing, StorageUnavailable."""
        (image,) = await self._rendering.render(source, probe, [RenditionSize.parse(size)])
        key = rendition_key(gallery_id, media_id, size)
        await self._store.put(key, image.jpeg, content_type=RENDITION_TYPE)
        return KeptRendition(size, image.width, image.height, len(image.jpeg))
