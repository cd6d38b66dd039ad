"""The gateway's metrics in one closed list. Request times and load shedding are metrics of the chassis."""

from __future__ import annotations

from kappi_chassis.observability.declared import MetricGroup

GATEWAY = MetricGroup()
STORE = MetricGroup()
"""Exported where the gateway leads to the embedded store."""

UPSTREAM_FAILURES = GATEWAY.counter(
    "kappi_gateway_upstream_failures_total",
    "Requests a service did not answer",
    service=None,
    kind=("unreachable", "timeout", "broken_off"),
)
UPSTREAM_REACHABLE = GATEWAY.gauge(
    "kappi_gateway_upstream_reachable",
    "1 when the service answered lately, as of the last probe",
    service=None,
)
GRANTS = GATEWAY.counter(
    "kappi_gateway_grants_total",
    "Grants needed",
    kind=("view", "key", "contributor", "owner"),
    outcome=("cached", "asked", "refused"),
)
GRANTS_DROPPED = GATEWAY.counter(
    "kappi_gateway_grants_dropped_total",
    "Cached grants dropped before their time",
    reason=("changed", "account_deleted", "refused"),
)
LIMITED = GATEWAY.counter(
    "kappi_gateway_limited_requests_total",
    "Requests refused because their address asked too much",
    limit=(
        "accounts",
        "archives",
        "comments",
        "contributors",
        "files",
        "galleries",
        "guesses",
        "live",
        "live_of_gallery",
        "pictures",
        "posts",
        "renditions",
        "requests",
        "slow",
        "store_downloads",
        "store_uploads",
        "uploads",
    ),
)
CLIENTS_STALLED = GATEWAY.counter(
    "kappi_gateway_stalled_clients_total", "Answers cut because their client did not read them in time"
)
TRANSFERS = STORE.gauge(
    "kappi_gateway_transfers",
    "Transfers to and from the embedded store under way",
    direction=("upload", "download"),
)
TRANSFERS_CUT = STORE.counter(
    "kappi_gateway_cut_transfers_total",
    "Transfers ended because their client was too slow for too long",
    direction=("upload", "download"),
)
CLIENTS_LEFT = GATEWAY.counter(
    "kappi_gateway_clients_left_total", "Requests given up because nobody waited for the answer any more"
)
FEED_REFUSED = GATEWAY.counter(
    "kappi_gateway_feed_refused_records_total", "Records without a MAC of this deployment, passed over"
)
FEED_SKIPPED = GATEWAY.counter(
    "kappi_gateway_feed_skipped_versions_total",
    "Events of a version that this gateway does not know, passed over",
    topic=None,
)
FEED_CONNECTED = GATEWAY.gauge(
    "kappi_gateway_feed_connected",
    "1 while changes of galleries arrive, and cached grants are dropped at once",
)
LIVE_STREAMS = GATEWAY.gauge("kappi_gateway_live_streams", "Live streams under way")
LIVE_ENDED = GATEWAY.counter(
    "kappi_gateway_live_ended_streams_total",
    "Live streams that ended",
    reason=("left", "access", "deleted", "slow", "interrupted", "drained"),
)
LIVE_RESUMED = GATEWAY.counter(
    "kappi_gateway_live_resumed_streams_total",
    "Live streams that came with the id of an earlier one",
    outcome=("continued", "reset"),
)
LIVE_CHANGES = GATEWAY.counter(
    "kappi_gateway_live_changes_total",
    "Changes told to the streams of their gallery",
    kind=("item_ready", "item_deleted", "gallery_updated", "gallery_deleted"),
)
LIVE_DELAY = GATEWAY.histogram(
    "kappi_gateway_live_delay_seconds",
    "Time from an event until the streams of its gallery are told",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 10),
)
