"""Builds the HTTP side of the media service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from kappi_chassis.auth import GrantVerifier, JwksSource, TokenVerifier
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App, behind
from kappi_chassis.http.idempotency import IdempotentCalls
from kappi_chassis.reconcile.routes import page_routes
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER

from kappi_media.api.access import ClientAddresses, GrantGate
from kappi_media.api.accounts import AccountGate
from kappi_media.api.archive import ArchiveApi
from kappi_media.api.bulk import BulkApi
from kappi_media.api.components import add_components
from kappi_media.api.cover import CoverApi
from kappi_media.api.gallery_items import GalleryItemsApi
from kappi_media.api.gallery_page import GalleryPages
from kappi_media.api.internal import InternalApi
from kappi_media.api.item_answers import ItemAnswers
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
from kappi_media.archive.continuations import Continuations
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.playback import Films, register_playback
from kappi_media.bootstrap.reconciler import build_pages
from kappi_media.bootstrap.use_cases import (
    build_abort,
    build_archives,
    build_arrivals,
    build_complete,
    build_copies,
    build_multiparts,
    build_post_file,
    build_post_pictures,
    build_sign_batch,
    build_tier,
)
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendition_urls import CountedDownloadUrls, RenditionUrls
from kappi_media.repository.accesses import AccessQueries
from kappi_media.repository.contributions import ContributionQueries
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
from kappi_media.use_cases.contributions import OwnContributions
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.gps_free import GpsFreeCopies
from kappi_media.use_cases.items import Items
from kappi_media.use_cases.links import CreateLink, Links
from kappi_media.use_cases.move_items import AwaitMoves, MoveTarget
from kappi_media.use_cases.multipart import PartSigner
from kappi_media.use_cases.post_pictures import ShowPostPicture, StorePostPicture
from kappi_media.use_cases.renditions import MakeRendition, Renditions
from kappi_media.use_cases.reorder_items import ReorderItems
from kappi_media.use_cases.search_library import SearchLibrary
from kappi_media.use_cases.show_cover import ShowCover
from kappi_media.use_cases.sign_batch import UploadSigner
from kappi_media.use_cases.statistics import ShowAccesses, ShowUsage
from kappi_media.use_cases.uploads import LookAtUpload, SignParts
from kappi_media.use_cases.view_gallery import ViewGallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The parts that several groups of routes share."""

    deps: Dependencies
    settings: MediaSettings
    gate: GrantGate
    accounts: AccountGate
    addresses: ClientAddresses
    calls: IdempotentCalls
    tier: GoverningTier
    urls: DownloadUrls
    counted_urls: DownloadUrls
    counted: CountedDownloadUrls
    on_request: RenditionUrls
    copies: GpsFreeCopies
    facts: FactsOnRead | None
    recorder: AccessRecorder


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
    films: Films | None = None,
) -> App:
    """Returns the HTTP side of the service.

    make, facts, archives, copies, and the decoding of `pictures`: closed by the caller, after the last call.
    recorder: records accesses; without one, none is recorded. wake_mover: wakes the mover when a move was
    requested. films: what their playback needs.
    """
    copies = copies or build_copies(deps)
    shared = _share(deps, settings, copies=copies, facts=facts, recorder=recorder or CountNothing())
    app = create_app(title="Media", description="Uploads, items, renditions and downloads.")
    # Routes are matched in this order: the most frequent first.
    _view(shared).register(app)
    _uploads(shared).register(app)
    _small_uploads(shared).register(app)
    _library(shared).register(app)
    _bulk(shared, wake_mover).register(app)
    _items(shared, make, films or Films(), app)
    _gallery_items(shared).register(app)
    _cover(shared, make).register(app)
    _links(shared).register(app)
    _archives(shared, archives).register(app)
    _post_pictures(shared, pictures).register(app)
    _statistics(shared).register(app)
    _internal(shared).register(app)
    app.router.routes.extend(page_routes(build_pages(deps, settings)))
    _store_events(app, deps, settings)
    add_components(app)
    return _limited(app, settings)


def _store_events(app: FastAPI, deps: Dependencies, settings: MediaSettings) -> None:
    if settings.store_events_token is not None:
        token = settings.store_events_token.get_secret_value()
        StoreEventApi(build_arrivals(deps, settings), token=token).register(app)


def _limited(app: FastAPI, settings: MediaSettings) -> App:
    # Requests that wait for a decoder must not keep out requests for pages.
    return behind(
        lambda raw_path: leads_to_rendition(raw_path) or leads_to_post_picture(raw_path),
        Edge(app, max_in_flight=settings.max_rendition_requests),
        otherwise=Edge(app, max_in_flight=settings.max_in_flight),
    )


def _share(
    deps: Dependencies,
    settings: MediaSettings,
    *,
    copies: GpsFreeCopies,
    facts: FactsOnRead | None,
    recorder: AccessRecorder,
) -> Shared:
    secret = settings.idempotency_secret.get_secret_value().encode()
    tokens = TokenVerifier(JwksSource(deps.grant_keys), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    on_request = RenditionUrls(public_url=settings.public_url, secret=secret)
    counted = CountedDownloadUrls(public_url=settings.public_url, secret=secret)
    download_urls = partial(
        DownloadUrls,
        deps.signer,
        clock=deps.clock,
        lifetime=settings.download_lifetime,
        bucket=settings.url_bucket,
        on_request=on_request,
        scanned_only=settings.clamd_address is not None,
    )
    return Shared(
        deps=deps,
        settings=settings,
        gate=GrantGate(GrantVerifier(tokens, clock=deps.clock), clock=deps.clock),
        accounts=AccountGate(AccountVerifier(JwksSource(deps.account_keys), clock=deps.clock)),
        addresses=ClientAddresses(secret),
        calls=IdempotentCalls(secret),
        tier=build_tier(deps),
        urls=download_urls(),
        counted_urls=download_urls(counted=counted),
        counted=counted,
        on_request=on_request,
        copies=copies,
        facts=facts,
        recorder=recorder,
    )


def _view(shared: Shared) -> ViewApi:
    cache = PageCache(max_bytes=shared.settings.view_cache_bytes)
    view = ViewGallery(ViewQueries(shared.deps.database), copies=shared.copies, facts=shared.facts)
    pages = GalleryPages(view, urls=shared.urls, counted_urls=shared.counted_urls, cache=cache)
    return ViewApi(shared.gate, tier=shared.tier, pages=pages, view=view, recorder=shared.recorder)


def _uploads(shared: Shared) -> UploadApi:
    deps, settings = shared.deps, shared.settings
    uploads, multiparts = UploadQueries(deps.database), build_multiparts(deps)
    signer = UploadSigner(deps.signer, lifetime=settings.upload_url_lifetime)
    parts = PartSigner(deps.signer, lifetime=settings.upload_url_lifetime)
    return UploadApi(
        shared.gate,
        addresses=shared.addresses,
        own=OwnContributions(ContributionQueries(deps.database)),
        tier=shared.tier,
        sign_batch=build_sign_batch(deps, settings, signer=signer, part_signer=parts),
        look=LookAtUpload(uploads, multiparts=multiparts, signer=signer, part_signer=parts, clock=deps.clock),
        sign_parts=SignParts(
            uploads, multiparts=multiparts, store=deps.store, part_signer=parts, clock=deps.clock
        ),
        complete=build_complete(deps, settings),
        abort=build_abort(deps),
        answers=_answers(shared),
        calls=shared.calls,
    )


def _small_uploads(shared: Shared) -> SmallUploadApi:
    return SmallUploadApi(
        shared.gate,
        addresses=shared.addresses,
        tier=shared.tier,
        post=build_post_file(shared.deps, shared.settings),
        answers=_answers(shared),
        calls=shared.calls,
        max_file_bytes=shared.settings.small_upload_bytes,
        at_once=shared.settings.small_uploads_at_once,
    )


def _library(shared: Shared) -> LibraryApi:
    search = SearchLibrary(LibraryQueries(shared.deps.database), clock=shared.deps.clock)
    return LibraryApi(shared.accounts, tier=shared.tier, search=search, urls=shared.urls)


def _bulk(shared: Shared, wake_mover: Callable[[], None]) -> BulkApi:
    deps = shared.deps
    return BulkApi(
        shared.accounts,
        grants=shared.gate,
        change_many=ChangeMany(deps.outbox, clock=deps.clock),
        move_target=MoveTarget(deps.outbox),
        await_moves=AwaitMoves(MoveQueries(deps.database), wake=wake_mover),
        calls=shared.calls,
    )


def _items(shared: Shared, make: MakeRendition, films: Films, app: FastAPI) -> None:
    deps = shared.deps
    items = ItemApi(
        shared.gate,
        tier=shared.tier,
        items=_items_of(shared),
        renditions=_renditions(shared, make),
        answers=_answers(shared),
        recorder=shared.recorder,
        addresses=shared.addresses,
        own=OwnContributions(ContributionQueries(deps.database)),
    )
    items.register(app)
    register_playback(app, shared, items, films)


def _items_of(shared: Shared) -> Items:
    deps = shared.deps
    return Items(
        ItemQueries(deps.database),
        urls=shared.urls,
        copies=shared.copies,
        outbox=deps.outbox,
        clock=deps.clock,
        counted=shared.counted,
        facts=shared.facts,
    )


def _answers(shared: Shared) -> ItemAnswers:
    return ItemAnswers(
        _items_of(shared), tier=shared.tier, urls=shared.urls, counted_urls=shared.counted_urls
    )


def _renditions(shared: Shared, make: MakeRendition) -> Renditions:
    return Renditions(
        ItemQueries(shared.deps.database),
        stored=RenditionQueries(shared.deps.database),
        make=make,
        urls=shared.urls,
        on_request=shared.on_request,
        clock=shared.deps.clock,
    )


def _gallery_items(shared: Shared) -> GalleryItemsApi:
    deps, settings = shared.deps, shared.settings
    return GalleryItemsApi(
        shared.gate,
        tier=shared.tier,
        view=ViewGallery(ViewQueries(deps.database), copies=shared.copies, facts=shared.facts),
        reorder=ReorderItems(
            deps.outbox,
            clock=deps.clock,
            sorted_items=settings.sorted_items,
            sorts_at_once=settings.sorts_at_once,
        ),
        urls=shared.urls,
        calls=shared.calls,
    )


def _cover(shared: Shared, make: MakeRendition) -> CoverApi:
    database = shared.deps.database
    show_cover = ShowCover(
        ItemQueries(database), view=ViewQueries(database), renditions=_renditions(shared, make)
    )
    return CoverApi(shared.gate, tier=shared.tier, show_cover=show_cover, addresses=shared.addresses)


def _links(shared: Shared) -> LinkApi:
    deps = shared.deps
    links = Links(
        LinkQueries(deps.database),
        items=ItemQueries(deps.database),
        urls=shared.urls,
        copies=shared.copies,
        clock=deps.clock,
    )
    return LinkApi(
        shared.gate,
        tier=shared.tier,
        create=CreateLink(outbox=deps.outbox, clock=deps.clock, new_id=deps.new_id),
        links=links,
        recorder=shared.recorder,
        public_url=shared.settings.public_url,
        calls=shared.calls,
    )


def _archives(shared: Shared, archives: Archives | None) -> ArchiveApi:
    archives = archives or build_archives(shared.deps, shared.settings, shared.copies)
    secret = shared.settings.idempotency_secret.get_secret_value().encode()
    return ArchiveApi(
        shared.gate,
        tier=shared.tier,
        archives=archives,
        recorder=shared.recorder,
        continuations=Continuations(secret, clock=shared.deps.clock),
    )


def _post_pictures(shared: Shared, pictures: StorePostPicture | None) -> PostPictureApi:
    deps, settings = shared.deps, shared.settings
    return PostPictureApi(
        store=pictures or build_post_pictures(deps, settings, Renderer()),
        show=ShowPostPicture(PostPictureQueries(deps.database), store=deps.store),
        at_once=settings.post_pictures_at_once,
    )


def _statistics(shared: Shared) -> StatisticsApi:
    deps = shared.deps
    return StatisticsApi(
        shared.gate,
        accounts=shared.accounts,
        usage=ShowUsage(UsageQueries(deps.database), tier=shared.tier, clock=deps.clock),
        accesses=ShowAccesses(AccessQueries(deps.database), step=shared.settings.statistics_step),
    )


def _internal(shared: Shared) -> InternalApi:
    deps = shared.deps
    reserve_claim = ReserveClaim(deps.outbox, tier=shared.tier, clock=deps.clock)
    return InternalApi(
        GalleryLookupQueries(deps.database),
        items=ItemQueries(deps.database),
        reserve_claim=reserve_claim,
        recorder=shared.recorder,
    )
