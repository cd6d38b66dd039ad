"""Builds the service from its use cases, for HTTP and for the bus; tests replace parts through
`Dependencies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.bus.processor import Handler
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.http.idempotency import IdempotentCalls
from kappi_chassis.passwords import Passwords

from kappi_galleries.api.access import Callers
from kappi_galleries.api.galleries import GalleryApi
from kappi_galleries.api.internal import InternalApi
from kappi_galleries.api.ownership import OwnershipApi
from kappi_galleries.api.posts import PostApi
from kappi_galleries.api.statistics import StatisticsApi
from kappi_galleries.consumers import handlers
from kappi_galleries.domain.credentials import CodeScheme, new_access_key
from kappi_galleries.domain.galleries import LifetimePolicy
from kappi_galleries.domain.links import Links
from kappi_galleries.media_client import ClaimRoom, Pictures
from kappi_galleries.repository.attempts import AttemptQueries
from kappi_galleries.repository.comments import CommentQueries
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.repository.posts import PostQueries
from kappi_galleries.repository.statistics import StatisticsQueries
from kappi_galleries.settings import GalleriesSettings
from kappi_galleries.use_cases.account_creation import CreateAccountGallery
from kappi_galleries.use_cases.claiming import ClaimGallery
from kappi_galleries.use_cases.comments import Comments
from kappi_galleries.use_cases.creation import CreateGallery
from kappi_galleries.use_cases.gallery_password import AttemptLimit, GalleryPasswordCheck
from kappi_galleries.use_cases.issue_grants import IssueGrants
from kappi_galleries.use_cases.management import GalleryManagement
from kappi_galleries.use_cases.post_creation import CreatePost
from kappi_galleries.use_cases.post_upkeep import PostUpkeep
from kappi_galleries.use_cases.posts import Posts
from kappi_galleries.use_cases.rotation import Rotation
from kappi_galleries.use_cases.statistics import ShowStatistics, StatisticsSweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    accounts: AccountVerifier
    passwords: Passwords
    pictures: Pictures
    claim_room: ClaimRoom


def build_app(deps: Dependencies, settings: GalleriesSettings) -> App:
    """Returns the application that serves the HTTP endpoints."""
    app = create_app(title="Galleries", description="Galleries, their codes, access keys and grants.")
    links = Links(settings.public_url)
    codes = CodeScheme(
        alphabet=settings.code_alphabet, length=settings.code_length, a_day=settings.code_changes_per_day
    )
    callers = Callers(deps.accounts)
    calls = IdempotentCalls(settings.idempotency_secret.get_secret_value().encode())
    ownership = OwnershipApi(
        claiming=ClaimGallery(outbox=deps.outbox, room=deps.claim_room, clock=deps.clock),
        rotation=Rotation(outbox=deps.outbox, codes=codes, clock=deps.clock, new_access_key=new_access_key),
        callers=callers,
        calls=calls,
        links=links,
        clock=deps.clock,
    )
    app.include_router(
        _gallery_api(deps, settings, links=links, codes=codes, callers=callers, calls=calls).router()
    )
    app.include_router(ownership.router())
    app.include_router(_post_api(deps, settings, links=links, callers=callers, calls=calls).router())
    show = ShowStatistics(
        GalleryQueries(deps.database),
        statistics=StatisticsQueries(deps.database),
        step=settings.statistics_step,
        clock=deps.clock,
    )
    app.include_router(StatisticsApi(show=show, callers=callers).router())
    _internal_api(deps, settings, links=links).mount(app)
    return Edge(app, max_in_flight=settings.max_in_flight)


def _gallery_api(
    deps: Dependencies,
    settings: GalleriesSettings,
    *,
    links: Links,
    codes: CodeScheme,
    callers: Callers,
    calls: IdempotentCalls,
) -> GalleryApi:
    queries = GalleryQueries(deps.database)
    lifetimes = LifetimePolicy(default=settings.anonymous_lifetime, longest=settings.anonymous_lifetime_cap)
    return GalleryApi(
        creation=CreateGallery(
            queries=queries,
            outbox=deps.outbox,
            codes=codes,
            lifetimes=lifetimes,
            clock=deps.clock,
            new_id=deps.new_id,
            new_access_key=new_access_key,
        ),
        account_creation=CreateAccountGallery(
            outbox=deps.outbox,
            codes=codes,
            passwords=deps.passwords,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        management=GalleryManagement(
            queries=queries,
            outbox=deps.outbox,
            passwords=deps.passwords,
            lifetimes=lifetimes,
            codes=codes,
            clock=deps.clock,
        ),
        callers=callers,
        calls=calls,
        links=links,
        clock=deps.clock,
    )


def _post_api(
    deps: Dependencies, settings: GalleriesSettings, *, links: Links, callers: Callers, calls: IdempotentCalls
) -> PostApi:
    queries = PostQueries(deps.database)
    return PostApi(
        creation=CreatePost(
            queries,
            pictures=deps.pictures,
            outbox=deps.outbox,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        posts=Posts(queries, outbox=deps.outbox, clock=deps.clock),
        comments=Comments(
            CommentQueries(deps.database),
            posts=queries,
            outbox=deps.outbox,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        callers=callers,
        calls=calls,
        links=links,
        uploads_at_once=settings.post_uploads_at_once,
    )


def build_handlers(deps: Dependencies, settings: GalleriesSettings) -> Mapping[str, Handler]:
    """Returns the event handlers by topic."""
    upkeep = PostUpkeep(
        deps.database,
        deps.outbox,
        draft_lifetime=settings.post_draft_lifetime,
        clock=deps.clock,
    )
    sweep = StatisticsSweep(deps.outbox, retention=settings.statistics_retention)
    return handlers(deps.outbox, clock=deps.clock, on_tick=[upkeep, sweep.handle])


def _internal_api(deps: Dependencies, settings: GalleriesSettings, *, links: Links) -> InternalApi:
    key = SigningKey.from_pem(settings.grant_key_pem())
    queries = GalleryQueries(deps.database)
    password_check = GalleryPasswordCheck(
        queries=queries,
        attempts=AttemptQueries(deps.database),
        passwords=deps.passwords,
        limit=AttemptLimit(burst=settings.unlock_burst, refill=settings.unlock_refill),
        secret=settings.idempotency_secret.get_secret_value().encode(),
        clock=deps.clock,
    )
    issue_grants = IssueGrants(
        queries=queries, password_check=password_check, key=key, links=links, clock=deps.clock
    )
    return InternalApi(issue_grants=issue_grants, accounts=deps.accounts, key=key)
