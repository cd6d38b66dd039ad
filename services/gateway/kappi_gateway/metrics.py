"""The gateway's metrics in one closed list. Request times and load shedding are metrics of the chassis."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UPSTREAM_FAILURES = Counter(
    "kappi_gateway_upstream_failures_total",
    "Requests a service did not answer",
    ("service", "kind"),  # unreachable, timeout, broken_off
)
UPSTREAM_REACHABLE = Gauge(
    "kappi_gateway_upstream_reachable",
    "1 when the service answered lately, as of the last probe",
    ("service",),
)
GRANTS = Counter(
    "kappi_gateway_grants_total",
    "Grants needed",
    ("kind", "outcome"),  # view, key, owner; cached, asked, refused
)
GRANTS_DROPPED = Counter(
    "kappi_gateway_grants_dropped_total",
    "Cached grants dropped before their time",
    ("reason",),  # changed, account_deleted, refused
)
LIMITED = Counter(
    "kappi_gateway_limited_requests_total",
    "Requests refused because their address asked too much",
    ("limit",),
)
CLIENTS_STALLED = Counter(
    "kappi_gateway_stalled_clients_total", "Answers cut because their client did not read them in time"
)
TRANSFERS = Gauge(
    "kappi_gateway_transfers",
    "Transfers to and from the embedded store under way",
    ("direction",),  # upload, download
)
TRANSFERS_CUT = Counter(
    "kappi_gateway_cut_transfers_total",
    "Transfers ended because their client was too slow for too long",
    ("direction",),  # upload, download
)
CLIENTS_LEFT = Counter(
    "kappi_gateway_clients_left_total", "Requests given up because nobody waited for the answer any more"
)
FEED_REFUSED = Counter(
    "kappi_gateway_feed_refused_records_total", "Records without a MAC of this deployment, passed over"
)
FEED_SKIPPED = Counter(
    "kappi_gateway_feed_skipped_versions_total",
    "Events of a version that this gateway does not know, passed over",
    ("topic",),
)
FEED_CONNECTED = Gauge(
    "kappi_gateway_feed_connected",
    "1 while changes of galleries arrive, and cached grants are dropped at once",
)
LIVE_STREAMS = Gauge("kappi_gateway_live_streams", "Live streams under way")
LIVE_ENDED = Counter(
    "kappi_gateway_live_ended_streams_total",
    "Live streams that ended",
    ("reason",),  # left, access, deleted, slow, interrupted, drained
)
LIVE_RESUMED = Counter(
    "kappi_gateway_live_resumed_streams_total",
    "Live streams that came with the id of an earlier one",
    ("outcome",),  # continued, reset
)
LIVE_CHANGES = Counter(
    "kappi_gateway_live_changes_total",
    "Changes told to the streams of their gallery",
    ("kind",),  # item_ready, item_deleted, gallery_updated, gallery_deleted
)
LIVE_DELAY = Histogram(
    "kappi_gateway_live_delay_seconds",
    "Time from an event until the streams of its gallery are told",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 10),
)
