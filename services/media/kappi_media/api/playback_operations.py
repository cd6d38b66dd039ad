"""The OpenAPI operation of films that browsers play."""

from __future__ import annotations

from typing import Final

from kappi_chassis.problems import InsufficientStorage, ValidationFailed

from kappi_media import errors
from kappi_media.api.components import answer, operation
from kappi_media.api.operations import ACCESS, REDIRECT

PLAYBACK: Final = operation(
    "getPlayback",
    "Play a film",
    "Leads to the film in a form that browsers play. If they play the original (H.264, VP8, VP9 or AV1 in "
    "eight bits, in MP4, MOV, M4V or WebM, with sound that they play), it leads there, under the same rules "
    "as `download`. Otherwise to a rendition: H.264 and AAC in an MP4, at most 1080 pixels high and 60 "
    "frames a second, upright, in standard dynamic range, without metadata. Of a motion photo (`motion`) "
    "the film in its file is made playable.\n\n"
    "The first request for a rendition queues it, and 202 says how far it is. Ask again after `Retry-After` "
    "seconds until the answer is 302. Films are made one after the other beside everything else, so this may "
    "take longer than the film.\n\n"
    "The tier of the gallery's owner limits how long a film may be. `playback_impossible` says why a film "
    "cannot be made playable; it is tried again after a day.",
    {
        200: answer("SignedUrl", "The URL of the film, with `redirect=false`"),
        202: {
            **answer("PendingPlayback", "The film is not made yet"),
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
        302: REDIRECT,
    },
    *ACCESS,
    errors.OriginalNotInTier,
    errors.PlaybackNotInTier,
    errors.MediaNotFound,
    errors.MediaNotReady,
    errors.MediaNotAFilm,
    errors.PlaybackImpossible,
    errors.PlaybacksBusy,
    errors.LocationNotRemovable,
    errors.LocationFreePending,
    InsufficientStorage,
    errors.StoreUnavailable,
    ValidationFailed,
)
