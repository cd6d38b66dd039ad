"""The media service's metrics: one closed list. No ids in labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UPLOADS_SIGNED = Counter("kappi_media_uploads_signed_total", "Uploads promised with a signed URL")
PROMISES_REFUSED = Counter(
    "kappi_media_promises_refused_total",
    "Batches beyond a budget of what anonymous galleries may be promised at once",
    ("whose",),  # address, gallery: the holder of the spent budget
)
PARTS_SIGNED = Counter("kappi_media_parts_signed_total", "Signed URLs of parts handed out")
MULTIPARTS_BEGUN = Counter(
    "kappi_media_multiparts_begun_total",
    "Multipart uploads of promised files begun in the store",
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
    "kappi_media_uploads_abandoned_total", "Uploads swept because nobody completed them"
)
STORE_EVENTS = Counter(
    "kappi_media_store_events_total",
    "Objects the store told of, and uploads it should have told of",
    # way: webhook, kafka, sweep. outcome: completed, repeated, incomplete, mismatch, gone, unknown (no such
    # upload), unavailable (the store; the message is repeated), ignored (not an arrival of an original),
    # unreadable
    ("way", "outcome"),
)
TAG_LOOKS = Counter(
    "kappi_media_tag_looks_total",
    "Looks at an original's tags for facts its item still lacks",
    ("outcome",),  # found, none, unreadable, missing (the object), unavailable, refused (by the store)
)
TAGS_WRITTEN = Counter(
    "kappi_media_tags_written_total",
    "Originals whose facts were to be written on them as tags",
    ("outcome",),  # written, failed
)
SCANS = Counter(
    "kappi_media_scans_total",
    "Originals the virus scanner was asked about",
    ("outcome",),  # clean, infected, too_large
)
DECODER_CONFINEMENT = Gauge(
    "kappi_media_decoder_confinement",
    "Layers of the confinement of decoder processes: 1 where the platform has it, else 0",
    ("layer",),  # account, privileges, landlock, descriptors, seccomp
)
ITEMS_PROCESSED = Counter(
    "kappi_media_items_processed_total",
    "Items the worker is done with",
    ("outcome",),  # ready, rejected, gone, repeated
)
PROCESSING_SECONDS = Histogram(
    "kappi_media_processing_seconds",
    "Time from taking an item up to its rendition being in the store",
    ("kind",),  # image, video
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
UPLOAD_JOB_RETRIES = Counter(
    "kappi_media_upload_job_retries_total",
    "Items the worker puts off and takes up again",
    # away (store, scanner, database), decoder (does not start, or lacks a library), killed (from outside),
    # stalled, failed (a fault in the software, or the scanner fails on this file)
    ("cause",),
)
UPLOAD_JOB_AGE_SECONDS = Gauge(
    "kappi_media_oldest_upload_job_seconds",
    "Since the completing of the upload that has waited for the worker the longest; 0 when none waits",
)
DECODERS_WAITED_FOR = Gauge(
    "kappi_media_decoders_waited_for",
    "Pieces of work that wait for a decoder, or for their turn at a copy that tells no place",
)
DECODER_SECONDS = Counter(
    "kappi_media_decoder_seconds_total",
    "Seconds for which decoders were held",
    ("whose",),  # anonymous (galleries without an owner), others
)
DECODES_BEYOND_BUDGET = Counter(
    "kappi_media_decodes_beyond_budget_total",
    "Pieces of work of anonymous galleries that came after all other, because their budget was used up",
)
RENDITIONS = Counter(
    "kappi_media_renditions_total",
    "Renditions taken on because somebody asked for them",
    ("outcome",),  # made, impossible, gone, busy (too many wait, in all or of one)
)
RENDITION_SECONDS = Histogram(
    "kappi_media_rendition_seconds",
    "Time to make and store a rendition somebody waits for",
    ("kind",),  # image, video
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
LOCATION_FREE_COPIES = Counter(
    "kappi_media_location_free_copies_total",
    "Originals that were to be handed out without the place they were made at",
    ("outcome",),  # made, unchanged (it contained none), impossible, gone
)
READY_SECONDS = Histogram(
    "kappi_media_ready_seconds",
    "Time from completing an upload to its item being ready",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
VIEWS = Counter(
    "kappi_media_views_total",
    "Gallery pages answered",
    ("outcome",),  # cached, built, not_modified
)
VIEW_CACHE_BYTES = Gauge("kappi_media_view_cache_bytes", "Gallery pages held in memory, compressed")
LINKS = Counter(
    "kappi_media_links_total",
    "What happens to expiring links",
    ("what",),  # created, followed, revoked
)
MOVES = Counter(
    "kappi_media_moves_total",
    "Items that were to be moved to another gallery",
    ("outcome",),  # moved, given_up (the item is deleted, or cannot be copied)
)
ARCHIVES = Counter(
    "kappi_media_archives_total",
    "Archives that were asked for with their bytes",
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
    "Writings down of counted accesses",
    ("outcome",),  # written, failed (it is repeated), lost (the process stopped meanwhile)
)
