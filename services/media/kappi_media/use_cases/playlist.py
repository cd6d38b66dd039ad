"""Shows the playlists of a long film, which players of HTTP Live Streaming read (ADR-0079)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kappi_chassis.clock import Clock

from kappi_media import metrics
from kappi_media.domain.media import GalleryId, Item, MediaId
from kappi_media.domain.playlists import FilmStream, media_playlist, multivariant_playlist
from kappi_media.domain.shares import Share
from kappi_media.domain.tiers import TierRules
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import FilmNotLong, PlaylistUrlInvalid
from kappi_media.rendition_urls import PlaylistUrls
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.playbacks import PlaybackQueries
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.playback import PendingFilm, ShowPlayback

_GET_AGAIN: Final = "It was not signed for this film. Get its `playback.m3u8` again."


@dataclass(frozen=True, slots=True)
class ShownPlaylist:
    """A playlist of a film. signed: the URL of the one that names all sizes, which needs no credential."""

    signed: SignedUrl
    text: str


class ShowPlaylist:
    """Returns the playlists of a long film, or how far it is made. films: makes it."""

    def __init__(
        self,
        items: ItemQueries,
        *,
        playbacks: PlaybackQueries,
        films: ShowPlayback,
        urls: DownloadUrls,
        playlist_urls: PlaylistUrls,
        clock: Clock,
    ) -> None:
        self._items = items
        self._playbacks = playbacks
        self._films = films
        self._urls = urls
        self._playlist_urls = playlist_urls
        self._clock = clock

    async def __call__(
        self, media_id: MediaId, gallery_id: GalleryId, *, size: str | None, rules: TierRules, share: Share
    ) -> ShownPlaylist | PendingFilm:
        """Returns the playlist of a size, or the one that names all. Raises FilmNotLong, and what
        `ShowPlayback` raises.
        """
        item = await self._films.film(media_id, gallery_id)
        if not self._films.is_long(item):
            raise FilmNotLong("Get its `playback`, which is one file.")
        streams = await self._playbacks.streams(media_id)
        if not streams:
            return await self._films.in_two_sizes(item, rules=rules, share=share)
        metrics.PLAYBACK_REQUESTS.labels("playlist").inc()
        # The URLs are valid until the film can have been played to its end.
        end, expires_in = self._urls.lasting(streams[0].seconds, as_of=self._urls.as_of())
        signed = self._playlist_urls.sign(item, expires_at=end, expires_in=expires_in)
        query = signed.url.partition("?")[2]
        return ShownPlaylist(signed, self._text(item, streams, size=size, query=query, end=end))

    async def signed(
        self, media_id: MediaId, *, size: str | None, query: str, expires: str, signature: str
    ) -> str:
        """As a call does, for a signed URL. Raises PlaylistUrlInvalid."""
        found = await self._items.find_with_owner(media_id)
        if found is None:
            raise PlaylistUrlInvalid(_GET_AGAIN)
        item, _ = found
        end = self._playlist_urls.check(item, expires=expires, signature=signature, now=self._clock())
        streams = await self._playbacks.streams(media_id)
        if not streams:  # an object was lost, and is made again
            raise PlaylistUrlInvalid(_GET_AGAIN)
        return self._text(item, streams, size=size, query=query, end=end)

    def _text(
        self, item: Item, streams: Sequence[FilmStream], *, size: str | None, query: str, end: datetime
    ) -> str:
        """query: of a signed URL. end: of the URLs of segments, which must not outlive it."""
        for stream in streams:
            if stream.size == size:
                url = self._urls.film(item, size, as_of=self._urls.as_of(), end=end)
                return media_playlist(stream, url)
        # Relative, so players find them wherever they got this one.
        return multivariant_playlist(streams, [f"playback.m3u8?size={each.size}&{query}" for each in streams])
