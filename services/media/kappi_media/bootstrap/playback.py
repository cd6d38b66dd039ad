"""Builds the playback of films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import FastAPI

from kappi_media.api.playback import PlaybackApi, PlaybackParts
from kappi_media.api.playlist import PlaylistApi
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.domain.shares import DecoderBudget
from kappi_media.rendering.film_maker import FilmLimits, FilmMaker
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendition_urls import PlaylistUrls
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.playbacks import PlaybackQueries
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.make_film import FilmMaking, FilmWorker, MakeFilm
from kappi_media.use_cases.playback import Looking, ShowPlayback
from kappi_media.use_cases.playlist import ShowPlaylist

if TYPE_CHECKING:
    from kappi_media.api.items import ItemApi
    from kappi_media.bootstrap.app import Shared


@dataclass(frozen=True, slots=True)
class Films:
    """What requests for films need. looking: finds how a film is coded; closed by the caller. wake: wakes the
    worker.
    """

    looking: Looking = field(default_factory=Renderer)
    wake: Callable[[], None] = lambda: None


def register_playback(app: FastAPI, shared: Shared, items: ItemApi, films: Films) -> None:
    deps, settings = shared.deps, shared.settings
    show = _show(shared, films)
    playlists = ShowPlaylist(
        ItemQueries(deps.database),
        playbacks=PlaybackQueries(deps.database),
        films=show,
        urls=shared.urls,
        playlist_urls=PlaylistUrls(
            public_url=settings.public_url, secret=settings.idempotency_secret.get_secret_value().encode()
        ),
        clock=deps.clock,
    )
    parts = PlaybackParts(shared.gate, shared.tier, items, shared.recorder, shared.addresses)
    PlaybackApi(parts, show=show).register(app)
    PlaylistApi(parts, show=playlists).register(app)


def _show(shared: Shared, films: Films) -> ShowPlayback:
    deps = shared.deps
    return ShowPlayback(
        ItemQueries(deps.database),
        playbacks=PlaybackQueries(deps.database),
        looking=films.looking,
        store=deps.store,
        urls=shared.urls,
        bounds=shared.settings.playback_bounds,
        clock=deps.clock,
        wake=films.wake,
    )


def build_film_worker(
    deps: Dependencies, settings: MediaSettings, making: FilmMaking | None = None
) -> FilmWorker:
    """Returns the maker of playable films."""
    limits = FilmLimits(memory_bytes=settings.decoder_memory_bytes, max_pixels=settings.max_video_pixels)
    budget = DecoderBudget()
    playbacks = PlaybackQueries(deps.database)
    make = MakeFilm(
        playbacks,
        making=making or FilmMaker(limits),
        store=deps.store,
        outbox=deps.outbox,
        budget=budget,
        clock=deps.clock,
    )
    return FilmWorker(playbacks, make=make, budget=budget, clock=deps.clock, at_once=settings.films_at_once)
