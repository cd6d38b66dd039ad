"""The gallery of an item, an upload or a link, asked from media. It changes only when the item is moved."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

import msgspec

from kappi_gateway.errors import UpstreamUnavailable
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Upstreams, decoded, traced, whole


class _Answer(msgspec.Struct):
    gallery_id: UUID
    media_id: UUID | None = None


_decoder = msgspec.json.Decoder(_Answer)


class GalleryLookup:
    """Caches at most `size` galleries, the least recently used go first. An unknown thing is not cached."""

    def __init__(self, upstreams: Upstreams, *, size: int) -> None:
        self._upstreams = upstreams
        self._size = size
        self._known: OrderedDict[tuple[str, UUID], UUID] = OrderedDict()

    async def gallery_of(self, collection: str, thing_id: UUID) -> UUID | None:
        """Returns the gallery of a thing, None if there is no such thing.

        collection: `media`, `uploads` or `links`. Raises UpstreamUnavailable, UpstreamTimeout.
        """
        key = (collection, thing_id)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        found = await self._ask(collection, thing_id)
        if found is None:
            return None
        self._known[key] = found.gallery_id
        if found.media_id is not None:  # after an upload, its item is usually requested
            self._known["media", found.media_id] = found.gallery_id
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return found.gallery_id

    def forget(self, collection: str, thing_id: UUID) -> None:
        """Forgets a thing that may have been moved, so that the next lookup asks media again."""
        self._known.pop((collection, thing_id), None)

    async def _ask(self, collection: str, thing_id: UUID) -> _Answer | None:
        response = await self._upstreams.send(
            Service.MEDIA, "GET", f"/internal/{collection}/{thing_id}", headers=traced()
        )
        body = await whole(response)
        if response.status == 404:
            return None
        if response.status != 200:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        return decoded(body, _decoder)
