"""The metrics of the galleries service, as one closed list."""

from __future__ import annotations

from prometheus_client import Counter

CREATED = Counter(
    "kappi_galleries_created_galleries_total",
    "Galleries created",
    ("kind",),  # anonymous, account
)
CODE_COLLISIONS = Counter(
    "kappi_galleries_code_collisions_total", "Drawn codes that were taken, each answered by a longer one"
)
CODE_REFUSALS = Counter(
    "kappi_galleries_refused_codes_total", "New codes refused to galleries that had their share of a day"
)
DELETED = Counter("kappi_galleries_deleted_galleries_total", "Galleries deleted", ("reason",))
EXPIRY_CLAIMS = Counter(
    "kappi_galleries_expiry_claims_total",
    "GalleryExpired events judged",
    ("verdict",),  # deleted, not_due, unknown
)
CONTRIBUTORS = Counter(
    "kappi_galleries_contributors_total",
    "Contributors of galleries",
    # added, refused (beyond the limit of the gallery), removed, replaced (added nothing for a day)
    ("outcome",),
)
CLAIMED = Counter("kappi_galleries_claimed_galleries_total", "Anonymous galleries that became an account's")
ROTATED = Counter(
    "kappi_galleries_rotations_total",
    "Secrets replaced by new ones",
    ("secret",),  # code, access_key
)
REHASHED = Counter("kappi_galleries_rehashed_passwords_total", "Passwords hashed anew with other parameters")
GRANTS = Counter("kappi_galleries_grants_total", "Grants sealed", ("right",))
GRANT_REFUSALS = Counter("kappi_galleries_grant_refusals_total", "Grants refused", ("code",))
CAPPED = Counter(
    "kappi_galleries_capped_accesses_total",
    "Accesses to galleries with a cap",
    ("kind", "outcome"),  # view, download, preview (never counted); counted, refused
)
ACCESS_EVENTS = Counter(
    "kappi_galleries_access_events_total",
    "MediaAccessed events weighed for the statistics",
    ("outcome",),  # counted, gallery_gone, gallery_unknown
)
ITEM_EVENTS = Counter(
    "kappi_galleries_item_events_total",
    "MediaReady, MediaMoved and MediaDeleted events weighed for the counters",
    ("outcome",),  # counted, outdated, gallery_gone, gallery_unknown
)
POSTS = Counter(
    "kappi_galleries_posts_total",
    "Posts",
    ("outcome",),  # created, refused (its picture), abandoned (before its publication), deleted
)
COMMENTS = Counter(
    "kappi_galleries_comments_total",
    "Comments",
    ("outcome",),  # added, deleted, purged (with their post or their author's account)
)
COUNTS_MENDED = Counter(
    "kappi_galleries_comment_counts_mended_total",
    "Posts whose count was wrong when a tick looked",
)
