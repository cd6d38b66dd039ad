"""The media service's metrics: one closed list. No ids in labels."""

from __future__ import annotations

from kappi_chassis.observability.declared import MetricGroup

API = MetricGroup()
"""Exported in the role `api`."""
WORKER = MetricGroup()
"""Exported in the role `worker`."""
EITHER = MetricGroup()
"""Exported in the roles `api` and `worker`."""

UPLOADS_SIGNED = API.counter("kappi_media_uploads_signed_total", "Uploads reserved and signed")
PROMISES_REFUSED = API.counter(
    "kappi_media_promises_refused_total",
    "Batches refused because they exceed a budget of reservations for anonymous galleries",
    # whose: the holder of the spent budget.
    whose=("address", "gallery"),
)
CONTRIBUTIONS_REFUSED = API.counter(
    "kappi_media_contributions_refused_total",
    "Batches of contributors refused because they exceed a limit",
    # whose: the holder of the limit.
    whose=("contributor", "gallery", "pending_address", "pending_gallery"),
)
PARTS_SIGNED = API.counter("kappi_media_parts_signed_total", "Signed URLs of parts that were issued")
MULTIPARTS_BEGUN = API.counter(
    "kappi_media_multiparts_begun_total",
    "Multipart uploads of reserved files that were begun in the store",
    # looked: only when the upload was requested again.
    when=("signed", "looked"),
)
COMPLETIONS = EITHER.counter(
    "kappi_media_completions_total",
    "Calls to complete an upload",
    outcome=("completed", "repeated", "incomplete", "mismatch"),
)
UPLOADED_BYTES = EITHER.counter(
    "kappi_media_uploaded_bytes_total", "Bytes of originals whose upload was completed"
)
POST_PICTURES = API.counter(
    "kappi_media_post_pictures_total",
    "Pictures of posts",
    # given_up: refused, or its client disconnected.
    outcome=("stored", "given_up"),
)
UPLOADS_ABANDONED = WORKER.counter(
    "kappi_media_uploads_abandoned_total", "Uploads removed because they were not completed in time"
)
STORE_EVENTS = EITHER.counter(
    "kappi_media_store_events_total",
    "Notifications of the store, and uploads for which one was missing",
    # unknown: no such upload. unavailable: the store; the message is repeated. ignored: not an arrival of
    # an original.
    way=("webhook", "kafka", "sweep"),
    outcome=(
        "completed",
        "repeated",
        "incomplete",
        "mismatch",
        "gone",
        "unknown",
        "unavailable",
        "ignored",
        "unreadable",
    ),
)
TAG_LOOKS = EITHER.counter(
    "kappi_media_tag_looks_total",
    "Reads of an original's tags for facts that its item still lacks",
    # missing: the object. refused: by the store.
    outcome=("found", "none", "unreadable", "missing", "unavailable", "refused"),
)
TAGS_WRITTEN = WORKER.counter(
    "kappi_media_tags_written_total",
    "Attempts to write an item's facts as tags on its original",
    outcome=("written", "failed"),
)
SCANS = WORKER.counter(
    "kappi_media_scans_total",
    "Originals that were sent to the virus scanner",
    outcome=("clean", "infected", "too_large"),
)
DECODER_CONFINEMENT = EITHER.gauge(
    "kappi_media_decoder_confinement",
    "Layers of the confinement of decoder processes: 1 if the platform has it, else 0",
    # layer: account, privileges, landlock, descriptors, seccomp. Known once a decoder was tried.
    layer=None,
)
ITEMS_PROCESSED = WORKER.counter(
    "kappi_media_items_processed_total",
    "Items that the worker has processed",
    outcome=("ready", "rejected", "gone", "repeated"),
)
PROCESSING_SECONDS = WORKER.histogram(
    "kappi_media_processing_seconds",
    "Time from the start of processing until the rendition is in the store",
    kind=("image", "video"),
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
UPLOAD_JOB_RETRIES = WORKER.counter(
    "kappi_media_upload_job_retries_total",
    "Items whose processing the worker postpones and tries again",
    # away: store, scanner, database. decoder: does not start, or lacks a library. killed: from outside.
    # failed: a fault in the software, or the scanner fails on this file.
    cause=("away", "decoder", "killed", "stalled", "failed"),
)
UPLOAD_JOB_AGE_SECONDS = WORKER.gauge(
    "kappi_media_oldest_upload_job_seconds",
    "Age of the oldest completed upload that waits for the worker; 0 when none waits",
)
DECODERS_WAITED_FOR = EITHER.gauge(
    "kappi_media_decoders_waited_for",
    "Tasks that wait for a decoder, or for their turn to make a copy without its place",
)
DECODER_WAIT_SECONDS = EITHER.histogram(
    "kappi_media_decoder_wait_seconds",
    "Time for which a task waited for a decoder",
    buckets=(0.005, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0),
)
DECODERS_HELD = EITHER.gauge("kappi_media_decoders_held", "Decoders that work on a file")
DECODER_SECONDS = EITHER.counter(
    "kappi_media_decoder_seconds_total",
    "Seconds for which decoders were held",
    # anonymous: galleries without an owner.
    whose=("anonymous", "others"),
)
DECODES_BEYOND_BUDGET = EITHER.counter(
    "kappi_media_decodes_beyond_budget_total",
    "Tasks of anonymous galleries that were done after all others, because their budget was used up",
)
RENDITIONS = API.counter(
    "kappi_media_renditions_total",
    "Requested renditions that were not stored yet",
    # busy: too many wait, in all or of one.
    outcome=("made", "impossible", "gone", "busy"),
)
RENDITION_SECONDS = API.histogram(
    "kappi_media_rendition_seconds",
    "Time to make and store a requested rendition",
    kind=("image", "video"),
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
PLAYBACKS = WORKER.counter(
    "kappi_media_playbacks_total",
    "Films that were to be made playable in browsers",
    # postponed: an attempt failed, and another follows.
    outcome=("made", "impossible", "gone", "postponed"),
)
PLAYBACK_SECONDS = WORKER.counter(
    "kappi_media_playback_seconds_total", "Seconds for which films were being made playable"
)
PLAYBACKS_WAITING = WORKER.gauge(
    "kappi_media_playbacks_waiting", "Films that wait to be made playable, or are being made"
)
PLAYBACK_REQUESTS = API.counter(
    "kappi_media_playback_requests_total",
    "Requests for films that browsers play",
    # busy: too many wait.
    answer=("film", "original", "playlist", "pending", "impossible", "busy"),
)
LOCATION_FREE_COPIES = API.counter(
    "kappi_media_location_free_copies_total",
    "Requested copies of originals without the place where they were made",
    # unchanged: it contained none.
    outcome=("made", "unchanged", "impossible", "gone"),
)
READY_SECONDS = WORKER.histogram(
    "kappi_media_ready_seconds",
    "Time from completing an upload to its item being ready",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
VIEWS = API.counter(
    "kappi_media_views_total", "Answers with a gallery page", outcome=("cached", "built", "not_modified")
)
VIEW_CACHE_BYTES = API.gauge("kappi_media_view_cache_bytes", "Bytes of cached gallery pages, compressed")
LINKS = API.counter(
    "kappi_media_links_total",
    "Expiring links that were created, followed and revoked, or refused because they are used up",
    what=("created", "followed", "revoked", "used_up"),
)
MOVES = WORKER.counter(
    "kappi_media_moves_total",
    "Requested moves of items to another gallery",
    # given_up: the item is deleted, or cannot be copied.
    outcome=("moved", "given_up"),
)
REORDERS = API.counter(
    "kappi_media_reorders_total",
    "Requests to change the order of a gallery's items",
    # busy: too many galleries are being sorted.
    outcome=("moved", "sorted", "unchanged", "busy"),
)
ARCHIVES = API.counter(
    "kappi_media_archives_total",
    "Requests for an archive with its bytes",
    outcome=("whole", "part", "left", "cut", "busy"),
)
ARCHIVES_RUNNING = API.gauge("kappi_media_archives_running", "Archives being sent")
ARCHIVE_BYTES = API.counter("kappi_media_archive_bytes_total", "Bytes of originals sent in archives")
ARCHIVE_COUNTED_BYTES = API.counter(
    "kappi_media_archive_counted_bytes_total",
    "Bytes of originals read for their checksum alone, because an archive needed it first",
)
ACCESSES = API.counter(
    "kappi_media_accesses_total",
    "Accesses to galleries and items, for their statistics",
    # dropped: too many galleries at once.
    outcome=("counted", "dropped"),
)
ACCESS_FLUSHES = API.counter(
    "kappi_media_access_flushes_total",
    "Writes of counted accesses to the database",
    # failed: it is repeated. lost: the process stopped meanwhile.
    outcome=("written", "failed", "lost"),
)
