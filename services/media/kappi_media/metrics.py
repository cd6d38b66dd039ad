"""The media service's metrics: one closed list. No ids in labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UPLOADS_SIGNED = Counter("kappi_media_uploads_signed_total", "Uploads reserved and signed")
PROMISES_REFUSED = Counter(
    "kappi_media_promises_refused_total",
    "Batches refused because they exceed a budget of reservations for anonymous galleries",
    ("whose",),  # address, gallery: the holder of the spent budget
)
CONTRIBUTIONS_REFUSED = Counter(
    "kappi_media_contributions_refused_total",
    "Batches of contributors refused because they exceed a limit",
    ("whose",),  # contributor, gallery, pending_address, pending_gallery: the holder of the limit
)
PARTS_SIGNED = Counter("kappi_media_parts_signed_total", "Signed URLs of parts that were issued")
MULTIPARTS_BEGUN = Counter(
    "kappi_media_multiparts_begun_total",
    "Multipart uploads of reserved files that were begun in the store",
    ("when",),  # signed, looked: only when the upload was requested again
)
COMPLETIONS = Counter(
    "kappi_media_completions_total",
    "Calls to complete an upload",
    ("outcome",),  # completed, repeated, incomplete, mismatch
)
POST_PICTURES = Counter(
    "kappi_media_post_pictures_total",
    "Pictures of posts",
    ("outcome",),  # stored, given_up (refused, or its client disconnected)
)
UPLOADS_ABANDONED = Counter(
    "kappi_media_uploads_abandoned_total", "Uploads removed because they were not completed in time"
)
STORE_EVENTS = Counter(
    "kappi_media_store_events_total",
    "Notifications of the store, and uploads for which one was missing",
    # way: webhook, kafka, sweep. outcome: completed, repeated, incomplete, mismatch, gone, unknown (no such
    # upload), unavailable (the store; the message is repeated), ignored (not an arrival of an original),
    # unreadable
    ("way", "outcome"),
)
TAG_LOOKS = Counter(
    "kappi_media_tag_looks_total",
    "Reads of an original's tags for facts that its item still lacks",
    ("outcome",),  # found, none, unreadable, missing (the object), unavailable, refused (by the store)
)
TAGS_WRITTEN = Counter(
    "kappi_media_tags_written_total",
    "Attempts to write an item's facts as tags on its original",
    ("outcome",),  # written, failed
)
SCANS = Counter(
    "kappi_media_scans_total",
    "Originals that were sent to the virus scanner",
    ("outcome",),  # clean, infected, too_large
)
DECODER_CONFINEMENT = Gauge(
    "kappi_media_decoder_confinement",
    "Layers of the confinement of decoder processes: 1 if the platform has it, else 0",
    ("layer",),  # account, privileges, landlock, descriptors, seccomp
)
ITEMS_PROCESSED = Counter(
    "kappi_media_items_processed_total",
    "Items that the worker has processed",
    ("outcome",),  # ready, rejected, gone, repeated
)
PROCESSING_SECONDS = Histogram(
    "kappi_media_processing_seconds",
    "Time from the start of processing until the rendition is in the store",
    ("kind",),  # image, video
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
UPLOAD_JOB_RETRIES = Counter(
    "kappi_media_upload_job_retries_total",
    "Items whose processing the worker postpones and tries again",
    # away (store, scanner, database), decoder (does not start, or lacks a library), killed (from outside),
    # stalled, failed (a fault in the software, or the scanner fails on this file)
    ("cause",),
)
UPLOAD_JOB_AGE_SECONDS = Gauge(
    "kappi_media_oldest_upload_job_seconds",
    "Age of the oldest completed upload that waits for the worker; 0 when none waits",
)
DECODERS_WAITED_FOR = Gauge(
    "kappi_media_decoders_waited_for",
    "Tasks that wait for a decoder, or for their turn to make a copy without its place",
)
DECODER_SECONDS = Counter(
    "kappi_media_decoder_seconds_total",
    "Seconds for which decoders were held",
    ("whose",),  # anonymous (galleries without an owner), others
)
DECODES_BEYOND_BUDGET = Counter(
    "kappi_media_decodes_beyond_budget_total",
    "Tasks of anonymous galleries that were done after all others, because their budget was used up",
)
RENDITIONS = Counter(
    "kappi_media_renditions_total",
    "Requested renditions that were not stored yet",
    ("outcome",),  # made, impossible, gone, busy (too many wait, in all or of one)
)
RENDITION_SECONDS = Histogram(
    "kappi_media_rendition_seconds",
    "Time to make and store a requested rendition",
    ("kind",),  # image, video
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
LOCATION_FREE_COPIES = Counter(
    "kappi_media_location_free_copies_total",
    "Requested copies of originals without the place where they were made",
    ("outcome",),  # made, unchanged (it contained none), impossible, gone
)
READY_SECONDS = Histogram(
    "kappi_media_ready_seconds",
    "Time from completing an upload to its item being ready",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
VIEWS = Counter(
    "kappi_media_views_total",
    "Answers with a gallery page",
    ("outcome",),  # cached, built, not_modified
)
VIEW_CACHE_BYTES = Gauge("kappi_media_view_cache_bytes", "Bytes of cached gallery pages, compressed")
LINKS = Counter(
    "kappi_media_links_total",
    "Expiring links that were created, followed and revoked, or refused because they are used up",
    ("what",),  # created, followed, revoked, used_up
)
MOVES = Counter(
    "kappi_media_moves_total",
    "Requested moves of items to another gallery",
    ("outcome",),  # moved, given_up (the item is deleted, or cannot be copied)
)
REORDERS = Counter(
    "kappi_media_reorders_total",
    "Requests to change the order of a gallery's items",
    ("outcome",),  # moved, sorted, unchanged, busy (too many galleries are being sorted)
)
ARCHIVES = Counter(
    "kappi_media_archives_total",
    "Requests for an archive with its bytes",
    ("outcome",),  # whole, part, left, cut, busy
)
ARCHIVES_RUNNING = Gauge("kappi_media_archives_running", "Archives being sent")
ARCHIVE_BYTES = Counter("kappi_media_archive_bytes_total", "Bytes of originals sent in archives")
ARCHIVE_COUNTED_BYTES = Counter(
    "kappi_media_archive_counted_bytes_total",
    "Bytes of originals read for their checksum alone, because an archive needed it first",
)
ACCESSES = Counter(
    "kappi_media_accesses_total",
    "Accesses to galleries and items, for their statistics",
    ("outcome",),  # counted, dropped (too many galleries at once)
)
ACCESS_FLUSHES = Counter(
    "kappi_media_access_flushes_total",
    "Writes of counted accesses to the database",
    ("outcome",),  # written, failed (it is repeated), lost (the process stopped meanwhile)
)
