"""Wiring of the galleries service; `python -m kappi_galleries.main` runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kappi_chassis.auth import JwksSource, SigningKey
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.backbone import Backbone
from kappi_chassis.bus.processor import Handler
from kappi_chassis.clock import Clock, NewId, new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings

from kappi_galleries.api.access import Callers
from kappi_galleries.api.galleries import GalleryApi
from kappi_galleries.api.idempotency import IdempotentCalls
from kappi_galleries.api.internal import InternalApi
from kappi_galleries.api.ownership import OwnershipApi
from kappi_galleries.api.posts import PostApi
from kappi_galleries.api.statistics import StatisticsApi
from kappi_galleries.consumers import GROUP, handlers
from kappi_galleries.credentials import CodeScheme, new_access_key
from kappi_galleries.domain import LifetimePolicy
from kappi_galleries.links import Links
from kappi_galleries.media_service import ClaimRoom, MediaService, Pictures
from kappi_galleries.repository.attempts import AttemptQueries
from kappi_galleries.repository.comments import CommentQueries
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.repository.posts import PostQueries
from kappi_galleries.repository.statistics import StatisticsQueries
from kappi_galleries.settings import GalleriesSettings
from kappi_galleries.use_cases.account_creation import AccountGalleryCreation
from kappi_galleries.use_cases.claiming import GalleryClaiming
from kappi_galleries.use_cases.comments import Comments
from kappi_galleries.use_cases.creation import GalleryCreation
from kappi_galleries.use_cases.granting import Granting
from kappi_galleries.use_cases.management import GalleryManagement
from kappi_galleries.use_cases.post_creation import PostCreation
from kappi_galleries.use_cases.post_upkeep import PostUpkeep
from kappi_galleries.use_cases.posts import Posts
from kappi_galleries.use_cases.rotation import Rotation
from kappi_galleries.use_cases.statistics import ShowStatistics, StatisticsSweep
from kappi_galleries.use_cases.unlocking import AttemptLimit, Unlocking

NAME = "galleries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything stands on; tests put their own clock, ids and accounts here."""

    database: Database
    outbox: Outbox
    accounts: AccountVerifier
    passwords: Passwords
    pictures: Pictures
    claim_room: ClaimRoom
    clock: Clock = utc_now
    new_id: NewId = new_id


def build_app(ground: Ground, settings: GalleriesSettings) -> App:
    """The service's HTTP side."""
    app = create_app(title="Galleries", description="Galleries, their codes, access keys and grants.")
    links = Links(settings.public_url)
    codes = CodeScheme(alphabet=settings.code_alphabet, length=settings.code_length)
    callers = Callers(ground.accounts)
    calls = IdempotentCalls(settings.idempotency_secret.get_secret_value().encode())
    ownership = OwnershipApi(
        claiming=GalleryClaiming(outbox=ground.outbox, room=ground.claim_room, clock=ground.clock),
        rotation=Rotation(
            outbox=ground.outbox, codes=codes, clock=ground.clock, new_access_key=new_access_key
        ),
        callers=callers,
        calls=calls,
        links=links,
        clock=ground.clock,
    )
    app.include_router(
        _gallery_api(ground, settings, links=links, codes=codes, callers=callers, calls=calls).router()
    )
    app.include_router(ownership.router())
    app.include_router(_post_api(ground, settings, links=links, callers=callers, calls=calls).router())
    show = ShowStatistics(
        GalleryQueries(ground.database),
        statistics=StatisticsQueries(ground.database),
        step=settings.statistics_step,
        clock=ground.clock,
    )
    app.include_router(StatisticsApi(show=show, callers=callers).router())
    _internal_api(ground, settings, links=links).mount(app)
    return Edge(app, max_in_flight=settings.max_in_flight)


def _gallery_api(
    ground: Ground,
    settings: GalleriesSettings,
    *,
    links: Links,
    codes: CodeScheme,
    callers: Callers,
    calls: IdempotentCalls,
) -> GalleryApi:
    queries = GalleryQueries(ground.database)
    lifetimes = LifetimePolicy(default=settings.anonymous_lifetime, longest=settings.anonymous_lifetime_cap)
    return GalleryApi(
        creation=GalleryCreation(
            queries=queries,
            outbox=ground.outbox,
            codes=codes,
            lifetimes=lifetimes,
            clock=ground.clock,
            new_id=ground.new_id,
            new_access_key=new_access_key,
        ),
        account_creation=AccountGalleryCreation(
            outbox=ground.outbox,
            codes=codes,
            passwords=ground.passwords,
            clock=ground.clock,
            new_id=ground.new_id,
        ),
        management=GalleryManagement(
            queries=queries,
            outbox=ground.outbox,
            passwords=ground.passwords,
            lifetimes=lifetimes,
            codes=codes,
            clock=ground.clock,
        ),
        callers=callers,
        calls=calls,
        links=links,
        clock=ground.clock,
    )


def _post_api(
    ground: Ground, settings: GalleriesSettings, *, links: Links, callers: Callers, calls: IdempotentCalls
) -> PostApi:
    queries = PostQueries(ground.database)
    return PostApi(
        creation=PostCreation(
            queries,
            pictures=ground.pictures,
            outbox=ground.outbox,
            clock=ground.clock,
            new_id=ground.new_id,
        ),
        posts=Posts(queries, outbox=ground.outbox, clock=ground.clock),
        comments=Comments(
            CommentQueries(ground.database),
            posts=queries,
            outbox=ground.outbox,
            clock=ground.clock,
            new_id=ground.new_id,
        ),
        callers=callers,
        calls=calls,
        links=links,
        uploads_at_once=settings.post_uploads_at_once,
    )


def build_handlers(ground: Ground, settings: GalleriesSettings) -> Mapping[str, Handler]:
    """The service's side of the bus."""
    upkeep = PostUpkeep(
        ground.database,
        ground.outbox,
        draft_lifetime=settings.post_draft_lifetime,
        clock=ground.clock,
    )
    sweep = StatisticsSweep(ground.outbox, retention=settings.statistics_retention)
    return handlers(ground.outbox, clock=ground.clock, on_tick=[upkeep, sweep.handle])


def _internal_api(ground: Ground, settings: GalleriesSettings, *, links: Links) -> InternalApi:
    key = SigningKey.from_pem(settings.grant_key_pem())
    queries = GalleryQueries(ground.database)
    unlocking = Unlocking(
        queries=queries,
        attempts=AttemptQueries(ground.database),
        passwords=ground.passwords,
        limit=AttemptLimit(burst=settings.unlock_burst, refill=settings.unlock_refill),
        secret=settings.idempotency_secret.get_secret_value().encode(),
        clock=ground.clock,
    )
    granting = Granting(queries=queries, unlocking=unlocking, key=key, links=links, clock=ground.clock)
    return InternalApi(granting=granting, accounts=ground.accounts, key=key)


def build(platform: PlatformSettings, settings: GalleriesSettings) -> Service:
    """The whole service; nothing connects before it runs."""
    backbone = Backbone(NAME, platform, settings)
    passwords = Passwords(
        time_cost=settings.password_time_cost,
        memory_kib=settings.password_memory_kib,
        longest_queue=settings.password_queue,
        share=settings.password_share,
    )
    backbone.service.closes(passwords)
    introduction = internal_headers(platform)
    media = MediaService(settings.media_url, headers=introduction)
    backbone.service.owns(media)
    ground = Ground(
        database=backbone.database,
        outbox=backbone.outbox,
        accounts=AccountVerifier(
            JwksSource(http_fetch(settings.account_jwks_url, headers=introduction)), clock=utc_now
        ),
        passwords=passwords,
        pictures=media,
        claim_room=media,
    )
    backbone.serves(build_app(ground, settings))
    backbone.consumes(build_handlers(ground, settings), group=GROUP)
    return backbone.service


def main() -> None:
    """Read the settings and run until told to stop."""
    platform = PlatformSettings()
    settings = GalleriesSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_logging(service=NAME, level=platform.log_level, renderer=platform.log_format)
    build(platform, settings).main()


if __name__ == "__main__":
    main()
