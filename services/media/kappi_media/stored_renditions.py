"""Makes a rendition and stores it: the step that the worker and the first request share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from kappi_chassis.storage import ObjectStore
from kappi_contracts.keys import rendition_key
from kappi_contracts.rendition_formats import OUTPUT_FORMATS, RenditionFormat
from kappi_mediameta.probing import MediaFormat, Probe, ProbeLimits, RangedSource

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.shares import NO_SHARE, Share
from kappi_media.rendering.sizes import GridPicture, RenderedImage, RenditionSize


class Rendering(Protocol):
    """Makes renditions off the event loop, bounded in number, memory and time.

    Raises DecoderUnavailable when there is no rendition and the file is not the cause.
    """

    async def render(
        self,
        source: RangedSource,
        probe: Probe,
        sizes: Sequence[RenditionSize],
        *,
        fmt: RenditionFormat = "jpeg",
        share: Share = NO_SHARE,
    ) -> tuple[RenderedImage, ...]:
        """Returns one picture per size, in order. share: the party that the decoder time is counted for.

        Raises Rejected when the file is the cause.
        """
        ...

    async def render_grid(
        self, source: RangedSource, probe: Probe, size: RenditionSize, *, share: Share = NO_SHARE
    ) -> GridPicture:
        """Returns a JPEG and a placeholder, from one decoding. Raises Rejected when the file is the cause."""
        ...


class Decoding(Rendering, Protocol):
    """A renderer that also reads headers."""

    async def probe(
        self, source: RangedSource, fmt: MediaFormat, limits: ProbeLimits, *, share: Share = NO_SHARE
    ) -> Probe:
        """Returns a file's facts. Raises Rejected when the file is the cause."""
        ...


class WantedRendition(NamedTuple):
    """The rendition to make. size: as in the public API. folder: of the item's objects."""

    media_id: MediaId
    gallery_id: GalleryId
    size: str
    fmt: RenditionFormat = "jpeg"
    folder: int | None = None

    @property
    def key(self) -> str:
        return rendition_key(self.gallery_id, self.media_id, self.size, self.fmt, folder=self.folder)


class KeptRendition(NamedTuple):
    """A stored rendition. width, height: pixels."""

    size: str
    width: int
    height: int
    size_bytes: int


class KeptGridPicture(NamedTuple):
    """A stored picture of the grid. placeholder: ThumbHash."""

    rendition: KeptRendition
    placeholder: bytes


class RenditionMaker:
    """Renders one size and stores it under its key; doing it twice has the effect of once."""

    def __init__(self, *, rendering: Rendering, store: ObjectStore) -> None:
        self._rendering = rendering
        self._store = store

    async def make(
        self, source: RangedSource, probe: Probe, wanted: WantedRendition, *, share: Share
    ) -> KeptRendition:
        """Returns the stored rendition. Raises Rejected, DecoderUnavailable, ObjectMissing,
        StorageUnavailable.
        """
        size = RenditionSize.parse(wanted.size)
        (image,) = await self._rendering.render(source, probe, [size], fmt=wanted.fmt, share=share)
        return await self._put(image, wanted)

    async def make_grid(
        self, source: RangedSource, probe: Probe, wanted: WantedRendition, *, share: Share
    ) -> KeptGridPicture:
        """Returns the JPEG that every item gets at once, and its placeholder. Raises as `make` does."""
        size = RenditionSize.parse(wanted.size)
        picture = await self._rendering.render_grid(source, probe, size, share=share)
        return KeptGridPicture(await self._put(picture.image, wanted), picture.placeholder)

    async def _put(self, image: RenderedImage, wanted: WantedRendition) -> KeptRendition:
        await self._store.put(wanted.key, image.body, content_type=OUTPUT_FORMATS[wanted.fmt].content_type)
        return KeptRendition(wanted.size, image.width, image.height, len(image.body))
