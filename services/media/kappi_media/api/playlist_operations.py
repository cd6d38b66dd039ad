"""The OpenAPI operation of the playlists of long films."""

from __future__ import annotations

from typing import Final

from kappi_chassis.problems import InsufficientStorage, ValidationFailed

from kappi_media import errors
from kappi_media.api.components import answer, operation
from kappi_media.api.operations import ACCESS
from kappi_media.domain.playlists import CONTENT_TYPE

_SIGNED: Final = answer("SignedUrl", "The playlist, or with `signed=true` its URL")

PLAYLIST: Final = operation(
    "getPlaylist",
    "Stream a long film",
    "The playlist of a film of more than ten minutes for players of HTTP Live Streaming (HLS, RFC 8216). It "
    "names the film in two sizes, H.264 and AAC in fragmented MP4: as `playback`, and at most 854 x 480. A "
    "player goes from one to the other as its network allows. A shorter film is `film_not_long`: get its "
    "`playback`.\n\n"
    "The first request queues the film, and 202 says how far it is, as for `playback`. Long films whose "
    "original browsers play are made in two sizes by this request alone.\n\n"
    "Players that send no credentials (AVPlayer, ExoPlayer, a `video` element) get the URL that "
    "`signed=true` answers. It, and all that its playlists name, is valid for the film's duration and ten "
    "minutes at least. Get a new one after that.",
    {
        200: _SIGNED | {"content": _SIGNED["content"] | {CONTENT_TYPE: {"schema": {"type": "string"}}}},
        202: {
            **answer("PendingPlayback", "The film is not made yet"),
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
    },
    *ACCESS,
    errors.PlaylistUrlInvalid,
    errors.PlaybackNotInTier,
    errors.MediaNotFound,
    errors.MediaNotReady,
    errors.MediaNotAFilm,
    errors.FilmNotLong,
    errors.PlaybackImpossible,
    errors.PlaybacksBusy,
    InsufficientStorage,
    errors.StoreUnavailable,
    ValidationFailed,
)
