"""Builds the HTTP side of the media service."""

from __future__ import annotations

from collections.abc import Callable

from kappi_chassis.auth import GrantVerifier, JwksSource, TokenVerifier
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App, behind
from kappi_chassis.http.idempotency import IdempotentCalls
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER

from kappi_media.api.access import ClientAddresses, GrantGate
from kappi_media.api.accounts import AccountGate
from kappi_media.api.archive import ArchiveApi
from kappi_media.api.bulk import BulkApi
from kappi_media.api.components import add_components
from kappi_media.api.gallery_page import GalleryPages
from kappi_media.api.internal import InternalApi
from kappi_media.api.items import ItemApi, leads_to_rendition
from kappi_media.api.library import LibraryApi
from kappi_media.api.links import LinkApi
from kappi_media.api.page_cache import PageCache
from kappi_media.api.post_pictures import PostPictureApi, leads_to_post_picture
from kappi_media.api.small_uploads import SmallUploadApi
from kappi_media.api.statistics import StatisticsApi
from kappi_media.api.store_events import StoreEventApi
from kappi_media.api.uploads import UploadApi
from kappi_media.api.view import ViewApi
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import (
    build_archives,
    build_arrivals,
    build_complete,
    build_copies,
    build_multiparts,
    build_post_pictures,
    build_reservation,
    build_tier,
)
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendition_urls import RenditionUrls
from kappi_media.repository.accesses import AccessQueries
from kappi_media.repository.gallery_lookup import GalleryLookupQueries
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.library import LibraryQueries
from kappi_media.repository.links import LinkQueries
from kappi_media.repository.moves import MoveQueries
from kappi_media.repository.post_pictures import PostPictureQueries
from kappi_media.repository.renditions import RenditionQueries
from kappi_media.repository.uploads import UploadQueries
from kappi_media.repository.usage import UsageQueries
from kappi_media.repository.view import ViewQueries
from kappi_media.settings import MediaSettings
from kappi_media.signed_urls import DownloadUrls
from kappi_media.statistics.recorder import AccessRecorder, CountNothing
from kappi_media.use_cases.archive import Archives
from kappi_media.use_cases.change_many import ChangeMany
from kappi_media.use_cases.claims import ReserveClaim
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.gps_free import GpsFreeCopies
from kappi_media.use_cases.items import Items
from kappi_media.use_cases.links import CreateLink, Links
from kappi_media.use_cases.move_items import AwaitMoves, MoveTarget
from kappi_media.use_cases.multipart import PartSigner
from kappi_media.use_cases.post_file import PostFile
from kappi_media.use_cases.post_pictures import ShowPostPicture, StorePostPicture
from kappi_media.use_cases.renditions import MakeRendition, Renditions
from kappi_media.use_cases.search_library import SearchLibrary
from kappi_media.use_cases.sign_batch import ReservationTerms, SignBatch, UploadSigner
from kappi_media.use_cases.statistics import ShowAccesses, ShowUsage
from kappi_media.use_cases.uploads import AbortUpload, LookAtUpload, SignParts
from kappi_media.use_cases.view_gallery import ViewGallery


def build_app(
    deps: Dependencies,
    settings: MediaSettings,
    make: MakeRendition,
    facts: FactsOnRead | None = None,
    *,
    archives: Archives | None = None,
    copies: GpsFreeCopies | None = None,
    pictures: StorePostPicture | None = None,
    recorder: AccessRecorder | None = None,
    wake_mover: Callable[[], None] = lambda: None,
) -> App:
    """Returns the HTTP side of the service.

    make, facts, archives, copies, and the decoding of `pictures`: closed by the caller, after the last call.
    recorder: records accesses; without one, none is recorded. wake_mover: wakes the mover when a move was
    requested.
    """
    tokens = TokenVerifier(JwksSource(deps.grant_keys), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    gate = GrantGate(GrantVerifier(tokens, clock=deps.clock), clock=deps.clock)
    on_request = RenditionUrls(
        public_url=settings.public_url, secret=settings.idempotency_secret.get_secret_value().encode()
    )
    urls = DownloadUrls(
        deps.signer,
        clock=deps.clock,
        lifetime=settings.download_lifetime,
        bucket=settings.url_bucket,
        on_request=on_request,
        scanned_only=settings.clamd_address is not None,
    )
    tier = build_tier(deps)
    app = create_app(title="Media", description="Uploads, items, renditions and downloads.")
    # Routes are matched in this order: the most frequent first.
    copies = copies or build_copies(deps)
    recorder = recorder or CountNothing()
    _view(deps, settings, facts, copies, gate=gate, tier=tier, urls=urls, recorder=recorder).register(app)
    _uploads(deps, settings, gate=gate, tier=tier, urls=urls).register(app)
    _small_uploads(deps, settings, gate=gate, tier=tier, urls=urls).register(app)
    accounts = AccountGate(AccountVerifier(JwksSource(deps.account_keys), clock=deps.clock))
    search = SearchLibrary(LibraryQueries(deps.database), clock=deps.clock)
    LibraryApi(accounts, tier=tier, search=search, urls=urls).register(app)
    _bulk(deps, settings, accounts, gate=gate, wake_mover=wake_mover).register(app)
    _items(
        deps,
        settings,
        make,
        facts,
        copies,
        gate=gate,
        tier=tier,
        urls=urls,
        on_request=on_request,
        recorder=recorder,
    ).register(app)
    _links(deps, settings, copies, gate=gate, tier=tier, urls=urls, recorder=recorder).register(app)
    archives = archives or build_archives(deps, settings, copies)
    ArchiveApi(gate, tier=tier, archives=archives, recorder=recorder).register(app)
    PostPictureApi(
        store=pictures or build_post_pictures(deps, settings, Renderer()),
        show=ShowPostPicture(PostPictureQueries(deps.database), store=deps.store),
        at_once=settings.post_pictures_at_once,
    ).register(app)
    _statistics(deps, settings, accounts, gate=gate, tier=tier).register(app)
    reserve_claim = ReserveClaim(deps.outbox, tier=tier, clock=deps.clock)
    InternalApi(GalleryLookupQueries(deps.database), reserve_claim=reserve_claim).register(app)
    if settings.store_events_token is not None:
        token = settings.store_events_token.get_secret_value()
        StoreEventApi(build_arrivals(deps), token=token).register(app)
    add_components(app)
    # Requests that wait for a decoder must not keep out requests for pages.
    return behind(
        lambda raw_path: leads_to_rendition(raw_path) or leads_to_post_picture(raw_path),
        Edge(app, max_in_flight=settings.max_rendition_requests),
        otherwise=Edge(app, max_in_flight=settings.max_in_flight),
    )


def _uploads(
    deps: Dependencies, settings: MediaSettings, *, gate: GrantGate, tier: GoverningTier, urls: DownloadUrls
) -> UploadApi:
    secret = settings.idempotency_secret.get_secret_value().encode()
    uploads = UploadQueries(deps.database)
    multiparts = build_multiparts(deps)
    signer = UploadSigner(deps.signer, lifetime=settings.upload_url_lifetime)
    part_signer = PartSigner(deps.signer, lifetime=settings.upload_url_lifetime)
    return UploadApi(
        gate,
        addresses=ClientAddresses(secret),
        tier=tier,
        sign_batch=SignBatch(
            uploads,
            multiparts=multiparts,
            store=deps.store,
            outbox=deps.outbox,
            quota_reservation=build_reservation(deps, settings),
            signer=signer,
            part_signer=part_signer,
            terms=ReservationTerms(
                lifetime=settings.upload_lifetime,
                multipart_lifetime=settings.multipart_upload_lifetime,
                multipart_above_bytes=settings.multipart_threshold_bytes,
                budgets=settings.promise_budgets,
            ),
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        look=LookAtUpload(
            uploads, multiparts=multiparts, signer=signer, part_signer=part_signer, clock=deps.clock
        ),
        sign_parts=SignParts(
            uploads,
            multiparts=multiparts,
            store=deps.store,
            part_signer=part_signer,
            clock=deps.clock,
        ),
        complete=build_complete(deps),
        abort=AbortUpload(uploads, multiparts=multiparts, outbox=deps.outbox, clock=deps.clock),
        urls=urls,
        calls=IdempotentCalls(secret),
    )


def _small_uploads(
    deps: Dependencies, settings: MediaSettings, *, gate: GrantGate, tier: GoverningTier, urls: DownloadUrls
) -> SmallUploadApi:
    secret = settings.idempotency_secret.get_secret_value().encode()
    uploads = UploadQueries(deps.database)
    return SmallUploadApi(
        gate,
        addresses=ClientAddresses(secret),
        tier=tier,
        post=PostFile(
            uploads,
            complete=build_complete(deps),
            abort=AbortUpload(
                uploads, multiparts=build_multiparts(deps), outbox=deps.outbox, clock=deps.clock
            ),
            store=deps.store,
            outbox=deps.outbox,
            quota_reservation=build_reservation(deps, settings),
            budgets=settings.promise_budgets,
            lifetime=settings.upload_lifetime,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        urls=urls,
        calls=IdempotentCalls(secret),
        max_file_bytes=settings.small_upload_bytes,
        at_once=settings.small_uploads_at_once,
    )


def _bulk(
    deps: Dependencies,
    settings: MediaSettings,
    accounts: AccountGate,
    *,
    gate: GrantGate,
    wake_mover: Callable[[], None],
) -> BulkApi:
    return BulkApi(
        accounts,
        grants=gate,
        change_many=ChangeMany(deps.outbox, clock=deps.clock),
        move_target=MoveTarget(deps.outbox),
        await_moves=AwaitMoves(MoveQueries(deps.database), wake=wake_mover),
        calls=IdempotentCalls(settings.idempotency_secret.get_secret_value().encode()),
    )


def _items(
    deps: Dependencies,
    settings: MediaSettings,
    make: MakeRendition,
    facts: FactsOnRead | None,
    copies: GpsFreeCopies,
    *,
    gate: GrantGate,
    tier: GoverningTier,
    urls: DownloadUrls,
    on_request: RenditionUrls,
    recorder: AccessRecorder,
) -> ItemApi:
    queries = ItemQueries(deps.database)
    items = Items(queries, urls=urls, copies=copies, outbox=deps.outbox, clock=deps.clock, facts=facts)
    renditions = Renditions(
        queries,
        stored=RenditionQueries(deps.database),
        make=make,
        urls=urls,
        on_request=on_request,
        clock=deps.clock,
    )
    return ItemApi(
        gate,
        tier=tier,
        items=items,
        renditions=renditions,
        urls=urls,
        recorder=recorder,
        addresses=ClientAddresses(settings.idempotency_secret.get_secret_value().encode()),
    )


def _links(
    deps: Dependencies,
    settings: MediaSettings,
    copies: GpsFreeCopies,
    *,
    gate: GrantGate,
    tier: GoverningTier,
    urls: DownloadUrls,
    recorder: AccessRecorder,
) -> LinkApi:
    links = Links(
        LinkQueries(deps.database),
        items=ItemQueries(deps.database),
        urls=urls,
        copies=copies,
        clock=deps.clock,
    )
    return LinkApi(
        gate,
        tier=tier,
        create=CreateLink(outbox=deps.outbox, clock=deps.clock, new_id=deps.new_id),
        links=links,
        recorder=recorder,
        public_url=settings.public_url,
        calls=IdempotentCalls(settings.idempotency_secret.get_secret_value().encode()),
    )


def _statistics(
    deps: Dependencies,
    settings: MediaSettings,
    accounts: AccountGate,
    *,
    gate: GrantGate,
    tier: GoverningTier,
) -> StatisticsApi:
    return StatisticsApi(
        gate,
        accounts=accounts,
        usage=ShowUsage(UsageQueries(deps.database), tier=tier, clock=deps.clock),
        accesses=ShowAccesses(AccessQueries(deps.database), step=settings.statistics_step),
    )


def _view(
    deps: Dependencies,
    settings: MediaSettings,
    facts: FactsOnRead | None,
    copies: GpsFreeCopies,
    *,
    gate: GrantGate,
    tier: GoverningTier,
    urls: DownloadUrls,
    recorder: AccessRecorder,
) -> ViewApi:
    cache = PageCache(max_bytes=settings.view_cache_bytes)
    view = ViewGallery(ViewQueries(deps.database), copies=copies, facts=facts)
    pages = GalleryPages(view, urls=urls, cache=cache)
    return ViewApi(gate, tier=tier, pages=pages, recorder=recorder)
