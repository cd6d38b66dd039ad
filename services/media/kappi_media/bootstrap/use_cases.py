"""Builds the use cases with their dependencies. A test builds one of them on its own `Dependencies`."""

from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.storage import ObjectStore
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import DEFAULT_LIMITS, ProbeLimits

from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.consumers import BeforeSweep
from kappi_media.domain.shares import DecoderBudget
from kappi_media.repository.accesses import AccessQueries
from kappi_media.repository.archive import ArchiveQueries
from kappi_media.repository.arrivals import ArrivalQueries
from kappi_media.repository.completion import CompletionQueries
from kappi_media.repository.gps_free import GpsFreeQueries
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.moves import MoveQueries
from kappi_media.repository.multipart import MultipartQueries
from kappi_media.repository.post_pictures import PostPictureQueries
from kappi_media.repository.processing import ProcessingQueries
from kappi_media.repository.renditions import RenditionQueries
from kappi_media.repository.sidecars import SidecarQueries
from kappi_media.repository.tags import TagQueries
from kappi_media.repository.tiers import TierQueries
from kappi_media.repository.upload_jobs import UploadJobQueries
from kappi_media.repository.uploads import UploadQueries
from kappi_media.repository.view import ViewQueries
from kappi_media.scanning import Clamd, ClamdAddress, ScanOriginal
from kappi_media.settings import MediaSettings
from kappi_media.statistics.counter import AccessCounter
from kappi_media.statistics.flush import AccessFlush
from kappi_media.stored_renditions import Decoding, Rendering, RenditionMaker
from kappi_media.use_cases.archive import Archives
from kappi_media.use_cases.claims import SweepClaims
from kappi_media.use_cases.complete import CompleteUpload
from kappi_media.use_cases.declare_uploads import ReservationTerms
from kappi_media.use_cases.facts_from_tags import FactsFromTags
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.gps_free import FindLocation, GpsFreeCopies
from kappi_media.use_cases.mover import Mover, SweepMoves
from kappi_media.use_cases.multipart import Multiparts, PartSigner
from kappi_media.use_cases.post_file import PostFile
from kappi_media.use_cases.post_pictures import StorePostPicture
from kappi_media.use_cases.process_upload import ProcessUpload, UploadWorker
from kappi_media.use_cases.quota_reservation import QuotaReservation, SweepReservations
from kappi_media.use_cases.renditions import DEFAULT_BOUNDS, MakeRendition, WaitingBounds
from kappi_media.use_cases.sidecars import CompleteSidecar, EndSidecars
from kappi_media.use_cases.sign_batch import SignBatch, UploadSigner
from kappi_media.use_cases.statistics import SweepAccessLog
from kappi_media.use_cases.store_notifications import CompleteArrivals
from kappi_media.use_cases.tag_originals import TagOriginal
from kappi_media.use_cases.uploads import AbortUpload

TICK_LOOKS_BACK = timedelta(hours=6)
"""The time that a tick looks back, beyond an upload's lifetime, for items without facts. `python -m
kappi_media.tagging fill` covers all items.
"""


def build_copies(deps: Dependencies, find: FindLocation = find_location) -> GpsFreeCopies:
    """Returns the maker of copies without the place where the originals were made. find: a confined one in
    production.
    """
    return GpsFreeCopies(
        GpsFreeQueries(deps.database),
        find=find,
        store=deps.store,
        outbox=deps.outbox,
        clock=deps.clock,
    )


def build_archives(
    deps: Dependencies,
    settings: MediaSettings,
    copies: GpsFreeCopies,
    *,
    store: ObjectStore | None = None,
) -> Archives:
    """Returns the sender of archives. store: with connections of its own, so that archives delay no other
    request.
    """
    return Archives(
        ArchiveQueries(deps.database),
        view=ViewQueries(deps.database),
        copies=copies,
        store=store or deps.store,
        at_once=settings.archives_at_once,
        window_bytes=settings.archive_window_bytes,
    )


def build_tier(deps: Dependencies) -> GoverningTier:
    """Returns the look-up of the rules that apply to a gallery."""
    return GoverningTier(TierQueries(deps.database), clock=deps.clock)


def build_multiparts(deps: Dependencies) -> Multiparts:
    """Returns the store's side of multipart uploads."""
    return Multiparts(MultipartQueries(deps.database), store=deps.store, joins=deps.joins, clock=deps.clock)


def build_reservation(deps: Dependencies, settings: MediaSettings) -> QuotaReservation:
    """Returns the reservation of uploads, which repeats a reservation after removing its obstacle."""
    return QuotaReservation(deps.outbox, url_lifetime=settings.upload_url_lifetime, clock=deps.clock)


def build_complete(deps: Dependencies, settings: MediaSettings) -> CompleteUpload:
    """Returns the completion of uploads, which all ways of completing share."""
    return CompleteUpload(
        UploadQueries(deps.database),
        completion=CompletionQueries(deps.database),
        items=ItemQueries(deps.database),
        multiparts=build_multiparts(deps),
        store=deps.store,
        hashing=deps.hashing,
        sidecars=CompleteSidecar(
            SidecarQueries(deps.database),
            items=ItemQueries(deps.database),
            store=deps.store,
            reading=deps.reading,
            scan=build_scan(deps, settings),
        ),
        outbox=deps.outbox,
        clock=deps.clock,
    )


def build_abort(deps: Dependencies) -> AbortUpload:
    """Returns the abortion of uploads."""
    return AbortUpload(
        UploadQueries(deps.database),
        multiparts=build_multiparts(deps),
        sidecars=build_end_sidecars(deps),
        outbox=deps.outbox,
        clock=deps.clock,
    )


def build_end_sidecars(deps: Dependencies) -> EndSidecars:
    """Returns the abortion of sidecars."""
    return EndSidecars(SidecarQueries(deps.database), store=deps.store)


def build_sign_batch(
    deps: Dependencies, settings: MediaSettings, *, signer: UploadSigner, part_signer: PartSigner
) -> SignBatch:
    """Returns the reservation and signing of batches."""
    return SignBatch(
        UploadQueries(deps.database),
        multiparts=build_multiparts(deps),
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
            contribution_limits=settings.contribution_limits,
        ),
        clock=deps.clock,
        new_id=deps.new_id,
    )


def build_post_file(deps: Dependencies, settings: MediaSettings) -> PostFile:
    """Returns the taking of files in the body of a request."""
    return PostFile(
        UploadQueries(deps.database),
        complete=build_complete(deps, settings),
        abort=build_abort(deps),
        store=deps.store,
        outbox=deps.outbox,
        quota_reservation=build_reservation(deps, settings),
        budgets=settings.promise_budgets,
        contribution_limits=settings.contribution_limits,
        lifetime=settings.upload_lifetime,
        clock=deps.clock,
        new_id=deps.new_id,
    )


def build_arrivals(deps: Dependencies, settings: MediaSettings) -> CompleteArrivals:
    """Returns the completion of uploads from the store's notifications."""
    return CompleteArrivals(ArrivalQueries(deps.database), complete=build_complete(deps, settings))


def build_facts(deps: Dependencies, settings: MediaSettings) -> FactsFromTags:
    """Returns the filling of items from their originals' tags."""
    return FactsFromTags(
        TagQueries(deps.database),
        store=deps.store,
        clock=deps.clock,
        retry_after=settings.tags_retry_after,
    )


def build_accesses(deps: Dependencies, settings: MediaSettings, counter: AccessCounter) -> AccessFlush:
    """Returns the writer of counted accesses."""
    return AccessFlush(
        counter,
        accesses=AccessQueries(deps.database),
        outbox=deps.outbox,
        interval=settings.statistics_interval,
        clock=deps.clock,
        new_id=deps.new_id,
    )


def build_mover(deps: Dependencies, store: ObjectStore | None = None) -> Mover:
    """Returns the mover. store: with connections of its own, so that copies delay no request."""
    return Mover(
        MoveQueries(deps.database),
        store=store or deps.store,
        outbox=deps.outbox,
        clock=deps.clock,
    )


def tick_steps(deps: Dependencies, settings: MediaSettings) -> list[BeforeSweep]:
    """Returns the steps of a tick before its sweep of uncompleted uploads."""
    arrivals, facts = build_arrivals(deps, settings), build_facts(deps, settings)

    async def complete_overlooked(as_of: datetime) -> None:
        await arrivals.overlooked(as_of, older_than=settings.upload_url_lifetime)

    async def fill_lately_promised(as_of: datetime) -> None:
        lifetime = max(settings.upload_lifetime, settings.multipart_upload_lifetime)
        await facts.fill_all(since=as_of - lifetime - TICK_LOOKS_BACK)

    steps: list[BeforeSweep] = []
    if settings.hears_store:
        steps.append(complete_overlooked)
    if settings.fill_from_tags:
        steps.append(fill_lately_promised)
    accesses = AccessQueries(deps.database)
    steps.append(SweepAccessLog(accesses, retention=settings.access_log_retention))
    steps.append(build_end_sidecars(deps).sweep)
    steps.append(SweepMoves(MoveQueries(deps.database)))
    steps.append(SweepClaims(deps.outbox))
    steps.append(SweepReservations(deps.outbox, url_lifetime=settings.upload_url_lifetime))
    return steps


def build_renditions(
    deps: Dependencies, rendering: Rendering, bounds: WaitingBounds = DEFAULT_BOUNDS
) -> MakeRendition:
    """Returns the maker of requested renditions. bounds: of the requests."""
    return MakeRendition(
        RenditionQueries(deps.database),
        maker=RenditionMaker(rendering=rendering, store=deps.store),
        store=deps.store,
        outbox=deps.outbox,
        clock=deps.clock,
        bounds=bounds,
    )


def build_post_pictures(deps: Dependencies, settings: MediaSettings, decoding: Decoding) -> StorePostPicture:
    """Returns the storing of posts' pictures."""
    return StorePostPicture(
        PostPictureQueries(deps.database),
        store=deps.store,
        decoding=decoding,
        tier=build_tier(deps),
        max_bytes=settings.post_picture_bytes,
        limits=probe_limits(settings),
    )


def build_scan(deps: Dependencies, settings: MediaSettings) -> ScanOriginal | None:
    """Returns the virus scan; None when the settings name no scanner."""
    if settings.clamd_address is None:
        return None
    clamd = Clamd(ClamdAddress.parse(settings.clamd_address), timeout=settings.clamd_patience)
    return ScanOriginal(
        clamd,
        store=deps.store,
        max_bytes=settings.clamd_max_bytes,
        oversize=settings.clamd_oversize,
        at_once=settings.clamd_scans,
    )


def probe_limits(settings: MediaSettings) -> ProbeLimits:
    """Returns the limits of a file's header above which the file is rejected."""
    return ProbeLimits(
        max_pixels=settings.max_picture_pixels,
        max_video_pixels=settings.max_video_pixels,
        max_frames=settings.max_frames,
        max_duration=settings.max_duration,
    )


def build_worker(
    deps: Dependencies,
    decoding: Decoding,
    *,
    concurrency: int,
    budget: DecoderBudget | None = None,
    limits: ProbeLimits = DEFAULT_LIMITS,
    write_tags: bool = False,
    scan: ScanOriginal | None = None,
) -> UploadWorker:
    """Returns the worker for completed uploads. budget: that of the decoders."""
    process = ProcessUpload(
        ProcessingQueries(deps.database),
        outbox=deps.outbox,
        store=deps.store,
        decoding=decoding,
        limits=limits,
        clock=deps.clock,
        tag=TagOriginal(deps.store) if write_tags else None,
        scan=scan,
    )
    return UploadWorker(
        UploadJobQueries(deps.database),
        process=process,
        budget=budget or DecoderBudget(),
        clock=deps.clock,
        concurrency=concurrency,
    )
