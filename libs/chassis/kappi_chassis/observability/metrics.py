"""The chassis' metrics in one closed list. Services declare theirs in their own `metrics.py`.

Names are `kappi_<area>_<what>_<unit>`; labels never hold an id.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HTTP_REQUEST_SECONDS = Histogram(
    "kappi_http_request_seconds",
    "Time from the first byte of a request to the last of its answer",
    ("method", "route", "status"),
    buckets=LATENCY_BUCKETS_S,
)
HTTP_IN_FLIGHT = Gauge("kappi_http_in_flight_requests", "Requests being answered")
HTTP_SHED = Counter("kappi_http_shed_requests_total", "Requests answered 503 because too many were in flight")
HTTP_CONNECTIONS = Gauge("kappi_http_open_connections", "Connections to this process's ports")
HTTP_CONNECTIONS_EVICTED = Counter(
    "kappi_http_evicted_connections_total",
    "Connections closed while they waited for a request, because a new one needed their place",
    ("limit",),
)
HTTP_CONNECTIONS_REFUSED = Counter(
    "kappi_http_refused_connections_total", "New connections refused: all others had a request", ("limit",)
)
HTTP_CALLERS_REFUSED = Counter(
    "kappi_http_refused_callers_total", "Calls of a service without the deployment's secret, answered 401"
)

PASSWORD_SECONDS = Histogram(
    "kappi_password_seconds",
    "Time a password took to hash or check, waiting included",
    buckets=LATENCY_BUCKETS_S,
)
PASSWORDS_IN_HAND = Gauge("kappi_in_hand_passwords", "Passwords being hashed or waiting for it")
PASSWORDS_REFUSED = Counter(
    "kappi_refused_passwords_total",
    "Passwords that were not hashed or checked because too many waited",
    ("limit",),  # share (of one address or account), queue
)

OUTBOX_PENDING = Gauge(
    "kappi_outbox_pending_events",
    "Events committed and not yet acknowledged by the broker; a backlog is counted every few seconds",
)
OUTBOX_OLDEST_SECONDS = Gauge("kappi_outbox_oldest_pending_seconds", "Age of the oldest event not yet sent")
OUTBOX_PARKED = Counter(
    "kappi_outbox_parked_events_total", "Events set aside because the broker will never take them", ("topic",)
)
OUTBOX_SENT = Counter("kappi_outbox_sent_events_total", "Events acknowledged by the broker", ("topic",))
OUTBOX_LAG_SECONDS = Histogram(
    "kappi_outbox_lag_seconds", "Commit to broker acknowledgement", buckets=LATENCY_BUCKETS_S
)
OUTBOX_FAILURES = Counter(
    "kappi_outbox_failures_total", "Batches the relay could not send and will send again"
)

CONSUMER_RECORD_SECONDS = Histogram(
    "kappi_consumer_record_seconds",
    "Time a record took, retries included",
    ("topic", "fate"),  # done, duplicate, dead_lettered; refused: not of this deployment
    buckets=LATENCY_BUCKETS_S,
)
CONSUMER_RETRIES = Counter(
    "kappi_consumer_retries_total", "Attempts that failed and are tried again", ("topic",)
)
CONSUMER_LAG = Gauge(
    "kappi_consumer_lag_records", "Records behind the end of the partition", ("topic", "partition")
)
CONSUMER_ASSIGNED = Gauge(
    "kappi_consumer_assigned_partitions", "Partitions this process has of its group", ("group",)
)
CONSUMER_GAPS = Counter(
    "kappi_consumer_gaps_total", "Times the broker had dropped records before they were read", ("topic",)
)

STORE_FREE_BYTES = Gauge(
    "kappi_store_free_bytes", "Free space on the file system of the local store, when it was last looked at"
)
STORE_RESERVE_BYTES = Gauge("kappi_store_reserve_bytes", "Free space that uploads to the local store leave")
STORE_FULL = Counter(
    "kappi_store_full_refusals_total",
    "Writes, and signings of uploads, refused because the local store had no room for them",
    ("use",),  # upload, service (renditions and copies, which may use half of the reserve)
)

RECONCILE_DIFFERENCES = Gauge(
    "kappi_reconcile_differences",
    "Differences that the last finished run of a check found and did not repair",
    ("check", "kind"),
)
RECONCILE_FINISHED = Gauge(
    "kappi_reconcile_finished_timestamp_seconds", "When the last run of a check finished", ("check",)
)
RECONCILE_EXAMINED = Counter(
    "kappi_reconcile_examined_total", "Rows and objects that checks compared", ("check",)
)
RECONCILE_REPAIRED = Counter(
    "kappi_reconcile_repaired_total", "Differences that checks repaired", ("check", "kind")
)
