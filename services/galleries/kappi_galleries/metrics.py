"""The metrics of the galleries service, as one closed list."""

from __future__ import annotations

from kappi_chassis.observability.declared import MetricGroup

API = MetricGroup()
"""Exported in the role `api`."""
WORKER = MetricGroup()
"""Exported in the role `worker`."""
EITHER = MetricGroup()
"""Exported in the roles `api` and `worker`."""

CREATED = API.counter(
    "kappi_galleries_created_galleries_total", "Galleries created", kind=("anonymous", "account")
)
CODE_COLLISIONS = API.counter(
    "kappi_galleries_code_collisions_total", "Drawn codes that were taken, each answered by a longer one"
)
CODE_REFUSALS = API.counter(
    "kappi_galleries_refused_codes_total", "New codes refused to galleries that had their share of a day"
)
DELETED = EITHER.counter(
    "kappi_galleries_deleted_galleries_total",
    "Galleries deleted",
    reason=("requested", "expired", "account_deleted"),
)
EXPIRY_CLAIMS = WORKER.counter(
    "kappi_galleries_expiry_claims_total",
    "GalleryExpired events judged",
    verdict=("deleted", "not_due", "unknown"),
)
CONTRIBUTORS = API.counter(
    "kappi_galleries_contributors_total",
    "Contributors of galleries",
    # refused: beyond the limit of the gallery. replaced: had added nothing for a day.
    outcome=("added", "refused", "removed", "replaced"),
)
CLAIMED = API.counter(
    "kappi_galleries_claimed_galleries_total", "Anonymous galleries that became an account's"
)
ROTATED = API.counter(
    "kappi_galleries_rotations_total", "Secrets replaced by new ones", secret=("code", "access_key")
)
REHASHED = API.counter(
    "kappi_galleries_rehashed_passwords_total", "Passwords hashed anew with other parameters"
)
GRANTS = API.counter("kappi_galleries_grants_total", "Grants sealed", right=("view", "contribute", "manage"))
GRANT_REFUSALS = API.counter(
    "kappi_galleries_grant_refusals_total",
    "Grants refused",
    # code: of the problem.
    code=None,
)
CAPPED = API.counter(
    "kappi_galleries_capped_accesses_total",
    "Accesses to galleries with a cap",
    # preview: never counted.
    kind=("view", "download", "preview"),
    outcome=("counted", "refused"),
)
ACCESS_EVENTS = WORKER.counter(
    "kappi_galleries_access_events_total",
    "MediaAccessed events weighed for the statistics",
    outcome=("counted", "gallery_gone", "gallery_unknown"),
)
ITEM_EVENTS = WORKER.counter(
    "kappi_galleries_item_events_total",
    "MediaReady, MediaMoved and MediaDeleted events weighed for the counters",
    outcome=("counted", "outdated", "gallery_gone", "gallery_unknown"),
)
POSTS = EITHER.counter(
    "kappi_galleries_posts_total",
    "Posts",
    # refused: its picture. abandoned: before its publication.
    outcome=("created", "refused", "abandoned", "deleted"),
)
COMMENTS = EITHER.counter(
    "kappi_galleries_comments_total",
    "Comments",
    # purged: with their post or their author's account.
    outcome=("added", "deleted", "purged"),
)
COUNTS_MENDED = WORKER.counter(
    "kappi_galleries_comment_counts_mended_total", "Posts whose count was wrong when a tick looked"
)
