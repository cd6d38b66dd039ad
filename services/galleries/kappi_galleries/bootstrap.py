"""Builds the service from its use cases, for HTTP and for the bus; tests replace parts through
`Dependencies`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from kappi_chassis.auth import GrantVerifier, JwksSource, SigningKey, TokenVerifier, jwks_document
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.bus.processor import Handler
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App
from kappi_chassis.http.idempotency import IdempotentCalls
from kappi_chassis.passwords import Passwords
from kappi_chassis.reconcile import Check, ReconcilePolicy, Reconciler
from kappi_chassis.reconcile.peer import Peer
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER

from kappi_galleries.api.access import Callers
from kappi_galleries.api.contributors import ContributorApi
from kappi_galleries.api.galleries import GalleryApi
from kappi_galleries.api.internal import InternalApi
from kappi_galleries.api.ownership import OwnershipApi
from kappi_galleries.api.posts import PostApi
from kappi_galleries.api.reconcile import ReconcileApi
from kappi_galleries.api.statistics import StatisticsApi
from kappi_galleries.consumers import TickStep, handlers
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import LifetimePolicy
from kappi_galleries.domain.links import Links
from kappi_galleries.media_client import ClaimRoom, Pictures, ReadyItems
from kappi_galleries.repository.attempts import AttemptQueries
from kappi_galleries.repository.comments import CommentQueries
from kappi_galleries.repository.contributors import ContributorQueries
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.repository.posts import PostQueries
from kappi_galleries.repository.reconcile import ReconcileQueries
from kappi_galleries.repository.statistics import StatisticsQueries
from kappi_galleries.settings import GalleriesSettings
from kappi_galleries.use_cases.change_gallery import ChangeGallery
from kappi_galleries.use_cases.claim_gallery import ClaimGallery
from kappi_galleries.use_cases.comments import AddComment, CheckCommentCounts, DeleteComment
from kappi_galleries.use_cases.contributors import AddContributor, RemoveContributor
from kappi_galleries.use_cases.count_accesses import CheckPreview, CountDownload, CountView
from kappi_galleries.use_cases.create_account_gallery import CreateAccountGallery
from kappi_galleries.use_cases.create_gallery import CreateGallery
from kappi_galleries.use_cases.create_post import CreatePostFromItem, CreatePostFromUpload
from kappi_galleries.use_cases.delete_gallery import DeleteGallery
from kappi_galleries.use_cases.gallery_password import AttemptLimit, GalleryPasswordCheck
from kappi_galleries.use_cases.issue_grants import (
    GrantSealer,
    IssueContributorGrant,
    IssueKeyGrant,
    IssueOwnerGrant,
    IssueViewGrant,
)
from kappi_galleries.use_cases.post_drafts import PostDrafts, SweepDrafts
from kappi_galleries.use_cases.posts import DeletePost, ListPosts
from kappi_galleries.use_cases.reconcile_galleries import ReconcileGalleries, ReconcilePosts
from kappi_galleries.use_cases.reconcile_items import ReconcileCounters, ReconcileItems
from kappi_galleries.use_cases.rotate_secrets import RotateAccessKey, RotateCode
from kappi_galleries.use_cases.statistics import ShowGalleryStatistics, SweepStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    accounts: AccountVerifier
    passwords: Passwords
    pictures: Pictures
    claim_room: ClaimRoom
    ready_items: ReadyItems


def build_app(deps: Dependencies, settings: GalleriesSettings) -> App:
    """Returns the application that serves the HTTP endpoints."""
    app = create_app(title="Galleries", description="Galleries, their codes, access keys and grants.")
    app.include_router(_galleries(deps, settings).router())
    app.include_router(_ownership(deps, settings).router())
    app.include_router(_contributors(deps, settings).router())
    app.include_router(_posts(deps, settings).router())
    app.include_router(_statistics(deps, settings).router())
    _internal(deps, settings).mount(app)
    ReconcileApi(ReconcileQueries(deps.database)).mount(app)
    return Edge(app, max_in_flight=settings.max_in_flight)


def build_checks(deps: Dependencies, *, media: Peer) -> Mapping[str, Check]:
    """Returns the comparisons with media by name, in the order in which they run."""
    queries = ReconcileQueries(deps.database)
    return {
        "galleries": ReconcileGalleries(queries, media=media, outbox=deps.outbox, clock=deps.clock),
        "galleries-items": ReconcileItems(queries, media=media, outbox=deps.outbox, clock=deps.clock),
        "galleries-counters": ReconcileCounters(queries),
        "galleries-posts": ReconcilePosts(queries, media=media, outbox=deps.outbox, clock=deps.clock),
    }


def build_reconciler(deps: Dependencies, settings: GalleriesSettings, *, media: Peer) -> Reconciler:
    """Returns the runner of the comparisons."""
    policy = ReconcilePolicy(every=settings.reconcile_every, budget=settings.reconcile_budget)
    checks = build_checks(deps, media=media)
    return Reconciler(deps.database, checks, policy=policy, clock=deps.clock, new_id=deps.new_id)


def build_handlers(
    deps: Dependencies, settings: GalleriesSettings, *, then_on_tick: Sequence[TickStep] = ()
) -> Mapping[str, Handler]:
    """Returns the event handlers by topic. then_on_tick: further steps of a tick."""
    on_tick: Sequence[TickStep] = (
        SweepDrafts(deps.outbox, lifetime=settings.post_draft_lifetime, clock=deps.clock),
        CheckCommentCounts(CommentQueries(deps.database), outbox=deps.outbox),
        SweepStatistics(deps.outbox, retention=settings.statistics_retention),
        *then_on_tick,
    )
    return handlers(deps.outbox, clock=deps.clock, on_tick=on_tick)


def _galleries(deps: Dependencies, settings: GalleriesSettings) -> GalleryApi:
    queries, codes, lifetimes = GalleryQueries(deps.database), _codes(settings), _lifetimes(settings)
    create_gallery = CreateGallery(
        queries,
        outbox=deps.outbox,
        codes=codes,
        lifetimes=lifetimes,
        clock=deps.clock,
        new_id=deps.new_id,
    )
    create_account_gallery = CreateAccountGallery(
        outbox=deps.outbox, codes=codes, passwords=deps.passwords, clock=deps.clock, new_id=deps.new_id
    )
    change_gallery = ChangeGallery(
        queries,
        outbox=deps.outbox,
        passwords=deps.passwords,
        lifetimes=lifetimes,
        codes=codes,
        items=deps.ready_items,
        clock=deps.clock,
    )
    return GalleryApi(
        queries=queries,
        create_gallery=create_gallery,
        create_account_gallery=create_account_gallery,
        change_gallery=change_gallery,
        delete_gallery=DeleteGallery(outbox=deps.outbox, clock=deps.clock),
        callers=Callers(deps.accounts),
        calls=_calls(settings),
        links=Links(settings.public_url),
        clock=deps.clock,
    )


def _calls(settings: GalleriesSettings) -> IdempotentCalls:
    return IdempotentCalls(settings.idempotency_secret.get_secret_value().encode())


def _codes(settings: GalleriesSettings) -> CodeScheme:
    return CodeScheme(
        alphabet=settings.code_alphabet, length=settings.code_length, a_day=settings.code_changes_per_day
    )


def _lifetimes(settings: GalleriesSettings) -> LifetimePolicy:
    return LifetimePolicy(default=settings.anonymous_lifetime, longest=settings.anonymous_lifetime_cap)


def _ownership(deps: Dependencies, settings: GalleriesSettings) -> OwnershipApi:
    return OwnershipApi(
        claim_gallery=ClaimGallery(outbox=deps.outbox, room=deps.claim_room, clock=deps.clock),
        rotate_code=RotateCode(outbox=deps.outbox, codes=_codes(settings), clock=deps.clock),
        rotate_access_key=RotateAccessKey(outbox=deps.outbox, clock=deps.clock),
        callers=Callers(deps.accounts),
        calls=_calls(settings),
        links=Links(settings.public_url),
        clock=deps.clock,
    )


def _contributors(deps: Dependencies, settings: GalleriesSettings) -> ContributorApi:
    return ContributorApi(
        grants=_grants(deps, settings),
        galleries=GalleryQueries(deps.database),
        contributors=ContributorQueries(deps.database),
        add_contributor=AddContributor(
            outbox=deps.outbox,
            most=settings.contributors_per_gallery,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        remove_contributor=RemoveContributor(outbox=deps.outbox, clock=deps.clock),
        callers=Callers(deps.accounts),
        calls=_calls(settings),
        clock=deps.clock,
    )


def _grants(deps: Dependencies, settings: GalleriesSettings) -> GrantVerifier:
    """Returns the verifier of the service's own grants."""
    published = msgspec.json.encode(jwks_document(SigningKey.from_pem(settings.grant_key_pem())))

    async def fetch() -> bytes:
        return published

    tokens = TokenVerifier(JwksSource(fetch), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    return GrantVerifier(tokens, clock=deps.clock)


def _posts(deps: Dependencies, settings: GalleriesSettings) -> PostApi:
    posts, comments = PostQueries(deps.database), CommentQueries(deps.database)
    drafts = PostDrafts(posts, outbox=deps.outbox, clock=deps.clock, new_id=deps.new_id)
    return PostApi(
        posts=posts,
        list_posts=ListPosts(posts),
        create_from_upload=CreatePostFromUpload(drafts, pictures=deps.pictures),
        create_from_item=CreatePostFromItem(drafts, pictures=deps.pictures),
        delete_post=DeletePost(outbox=deps.outbox, clock=deps.clock),
        comments=comments,
        add_comment=AddComment(
            comments, posts=posts, outbox=deps.outbox, clock=deps.clock, new_id=deps.new_id
        ),
        delete_comment=DeleteComment(comments, outbox=deps.outbox, clock=deps.clock),
        callers=Callers(deps.accounts),
        calls=_calls(settings),
        links=Links(settings.public_url),
        uploads_at_once=settings.post_uploads_at_once,
    )


def _statistics(deps: Dependencies, settings: GalleriesSettings) -> StatisticsApi:
    statistics = StatisticsQueries(deps.database)
    show_gallery = ShowGalleryStatistics(
        GalleryQueries(deps.database),
        statistics=statistics,
        step=settings.statistics_step,
        clock=deps.clock,
    )
    return StatisticsApi(
        show_gallery=show_gallery, statistics=statistics, callers=Callers(deps.accounts), clock=deps.clock
    )


def _internal(deps: Dependencies, settings: GalleriesSettings) -> InternalApi:
    key = SigningKey.from_pem(settings.grant_key_pem())
    queries, sealer = GalleryQueries(deps.database), GrantSealer(key, links=Links(settings.public_url))
    password_check = GalleryPasswordCheck(
        queries=queries,
        attempts=AttemptQueries(deps.database),
        passwords=deps.passwords,
        limit=AttemptLimit(burst=settings.unlock_burst, refill=settings.unlock_refill),
        secret=settings.idempotency_secret.get_secret_value().encode(),
        clock=deps.clock,
    )
    return InternalApi(
        issue_view_grant=IssueViewGrant(
            queries,
            password_check=password_check,
            sealer=sealer,
            grace=settings.used_up_grace,
            clock=deps.clock,
        ),
        issue_owner_grant=IssueOwnerGrant(queries, sealer=sealer, clock=deps.clock),
        issue_key_grant=IssueKeyGrant(queries, sealer=sealer, clock=deps.clock),
        issue_contributor_grant=IssueContributorGrant(
            ContributorQueries(deps.database),
            sealer=sealer,
            grace=settings.used_up_grace,
            clock=deps.clock,
        ),
        count_view=CountView(queries, outbox=deps.outbox, clock=deps.clock),
        check_preview=CheckPreview(queries),
        count_download=CountDownload(
            queries, outbox=deps.outbox, grace=settings.used_up_grace, clock=deps.clock
        ),
        accounts=deps.accounts,
        key=key,
    )
