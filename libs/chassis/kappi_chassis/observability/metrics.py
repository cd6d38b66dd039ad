"""The chassis' metrics in one closed list. Services declare theirs in their own `metrics.py`.

Names are `kappi_<area>_<what>_<unit>`; labels never hold an id. Each group belongs to a part of a process,
which exports it where it is wired.
"""

from __future__ import annotations

from kappi_chassis.observability.declared import MetricGroup

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WAIT_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0)
STORE_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)

PROCESS = MetricGroup()
"""Of every process."""
HTTP = MetricGroup()
"""Of a process that answers requests."""
PASSWORDS = MetricGroup()
DATABASE = MetricGroup()
RELAY = MetricGroup()
CONSUMER = MetricGroup()
DEAD_LETTERS = MetricGroup()
"""Of the one process that watches the dead letters of all services."""
RECONCILE = MetricGroup()
"""Of a process that compares databases and store."""
STORE = MetricGroup()
"""Of a process that calls the object store."""
LOCAL_STORE = MetricGroup()
"""Of a process that writes to the embedded store's folder."""
FOLDER = MetricGroup()
"""Of the process that serves that folder and measures its space regularly."""

BUILD_INFO = PROCESS.gauge(
    "kappi_build_info",
    "1, with the version and the commit that this process was built from",
    version=None,
    commit=None,
)
PROCESS_ROLE = PROCESS.gauge("kappi_process_role", "1 for each role that this process runs", role=None)
LOOP_DELAY_SECONDS = PROCESS.histogram(
    "kappi_loop_delay_seconds",
    "Time by which a timer of the event loop was late, measured about once a second",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)

LOG_LINES_LEFT_OUT = PROCESS.counter(
    "kappi_log_left_out_lines_total",
    "Lines that were not logged because many like them were",
    kind=("answers", "library"),  # answers: with an error; library: messages of a third party
)
TRACE_SPANS_DROPPED = PROCESS.counter(
    "kappi_trace_dropped_spans_total",
    "Spans that were not exported",
    reason=("queue", "collector"),  # queue: it was full; collector: it did not take them
)

HTTP_REQUEST_SECONDS = HTTP.histogram(
    "kappi_http_request_seconds",
    "Time from the first byte of a request to the last of its answer",
    method=None,
    route=None,
    status=None,
    buckets=LATENCY_BUCKETS_S,
)
HTTP_FAILED = HTTP.counter(
    "kappi_http_failed_requests_total", "Requests answered with a status from 500 on", method=None, route=None
)
HTTP_IN_FLIGHT = HTTP.gauge("kappi_http_in_flight_requests", "Requests being answered")
HTTP_SHED = HTTP.counter(
    "kappi_http_shed_requests_total", "Requests answered 503 because too many were in flight"
)
HTTP_CONNECTIONS = HTTP.gauge("kappi_http_open_connections", "Connections to this process's ports")
HTTP_CONNECTIONS_EVICTED = HTTP.counter(
    "kappi_http_evicted_connections_total",
    "Connections closed while they waited for a request, because a new one needed their place",
    limit=("all", "address"),
)
HTTP_CONNECTIONS_REFUSED = HTTP.counter(
    "kappi_http_refused_connections_total",
    "New connections refused: all others had a request",
    limit=("all", "address"),
)
HTTP_CALLERS_REFUSED = HTTP.counter(
    "kappi_http_refused_callers_total", "Calls of a service without the deployment's secret, answered 401"
)

PASSWORD_SECONDS = PASSWORDS.histogram(
    "kappi_password_seconds",
    "Time a password took to hash or check, waiting included",
    buckets=LATENCY_BUCKETS_S,
)
PASSWORDS_IN_HAND = PASSWORDS.gauge("kappi_in_hand_passwords", "Passwords being hashed or waiting for it")
PASSWORDS_REFUSED = PASSWORDS.counter(
    "kappi_refused_passwords_total",
    "Passwords that were not hashed or checked because too many waited",
    limit=("share", "queue"),  # share: of one address or account
)

POOL_CONNECTIONS = DATABASE.gauge(
    "kappi_database_pool_used_connections",
    "Connections of a pool that are in use",
    pool=("transactions", "statements"),
)
POOL_SIZE = DATABASE.gauge(
    "kappi_database_pool_size_connections",
    "Greatest number of connections of a pool",
    pool=("transactions", "statements"),
)
POOL_WAIT_SECONDS = DATABASE.histogram(
    "kappi_database_pool_wait_seconds",
    "Time until a connection was free, or was made",
    pool=("transactions", "statements"),
    buckets=WAIT_BUCKETS_S,
)

OUTBOX_PENDING = RELAY.gauge(
    "kappi_outbox_pending_events",
    "Events committed and not yet acknowledged by the broker; a backlog is counted every few seconds",
)
OUTBOX_OLDEST_SECONDS = RELAY.gauge(
    "kappi_outbox_oldest_pending_seconds", "Age of the oldest event not yet sent"
)
OUTBOX_PARKED = RELAY.counter(
    "kappi_outbox_parked_events_total", "Events set aside because the broker will never take them", topic=None
)
OUTBOX_SENT = RELAY.counter("kappi_outbox_sent_events_total", "Events acknowledged by the broker", topic=None)
OUTBOX_LAG_SECONDS = RELAY.histogram(
    "kappi_outbox_lag_seconds", "Commit to broker acknowledgement", buckets=LATENCY_BUCKETS_S
)
OUTBOX_FAILURES = RELAY.counter(
    "kappi_outbox_failures_total", "Batches the relay could not send and will send again"
)

CONSUMER_RECORD_SECONDS = CONSUMER.histogram(
    "kappi_consumer_record_seconds",
    "Time a record took, retries included",
    topic=None,
    buckets=LATENCY_BUCKETS_S,
)
CONSUMER_RECORDS = CONSUMER.counter(
    "kappi_consumer_records_total",
    "Records that were handled",
    topic=None,
    # refused: not of this deployment. skipped: of an unknown version.
    fate=("done", "duplicate", "dead_lettered", "refused", "skipped"),
)
CONSUMER_RETRIES = CONSUMER.counter(
    "kappi_consumer_retries_total", "Attempts that failed and are tried again", topic=None
)
CONSUMER_BATCH_FAILURES = CONSUMER.counter(
    "kappi_consumer_batch_failures_total",
    "Batches that failed, whose records were handled one by one then",
    topic=None,
)
CONSUMER_LAG = CONSUMER.gauge(
    "kappi_consumer_lag_records", "Records behind the end of the partition", topic=None, partition=None
)
CONSUMER_OLDEST_SECONDS = CONSUMER.gauge(
    "kappi_consumer_oldest_unhandled_seconds",
    "Age of the oldest record that this process received and has not handled; 0 if there is none",
    group=None,
    topic=None,
)
CONSUMER_SILENT_SECONDS = CONSUMER.gauge(
    "kappi_consumer_silent_seconds",
    "Time since the broker last answered this consumer, or since it began to look for the broker",
    group=None,
)
CONSUMER_ASSIGNED = CONSUMER.gauge(
    "kappi_consumer_assigned_partitions", "Partitions this process has of its group", group=None
)
CONSUMER_STOPPED = CONSUMER.gauge(
    "kappi_consumer_stopped", "1 once too many dead letters stopped it", group=None
)
CONSUMER_GAPS = CONSUMER.counter(
    "kappi_consumer_gaps_total", "Times the broker had dropped records before they were read", topic=None
)

DEAD_LETTERS_WAITING = DEAD_LETTERS.gauge(
    "kappi_dead_letters_waiting_records", "Dead letters that were not sent back", topic=None
)
DEAD_LETTERS_OLDEST_SECONDS = DEAD_LETTERS.gauge(
    "kappi_dead_letters_oldest_seconds",
    "Age of the oldest dead letter that was not sent back; 0 if there is none",
    topic=None,
)

STORE_OPERATIONS = (
    "abort_multipart",
    "abort_multipart_uploads",
    "complete_multipart",
    "copy",
    "create_multipart",
    "delete_batch",
    "delete_versions_page",
    "head",
    "list_page",
    "list_parts",
    "put",
    "put_stream",
    "read",
    "set_tags",
    "stream",
    "tags",
)
STORE_CALL_SECONDS = STORE.histogram(
    "kappi_store_call_seconds",
    "Time of a call to the object store; of a stream, until its first bytes",
    operation=STORE_OPERATIONS,
    buckets=STORE_BUCKETS_S,
)
STORE_FAILURES = STORE.counter(
    "kappi_store_failed_calls_total",
    "Calls to the object store that failed. A missing object is no failure",
    operation=STORE_OPERATIONS,
    failure=("unavailable", "refused", "full"),
)

STORE_FREE_BYTES = FOLDER.gauge(
    "kappi_store_free_bytes", "Free space on the file system of the local store, when it was last looked at"
)
STORE_RESERVE_BYTES = FOLDER.gauge(
    "kappi_store_reserve_bytes", "Free space that uploads to the local store leave"
)
STORE_FULL = LOCAL_STORE.counter(
    "kappi_store_full_refusals_total",
    "Writes, and signings of uploads, refused because the local store had no room for them",
    use=("upload", "service"),  # service: renditions and copies, which may use half of the reserve
)

RECONCILE_DIFFERENCES = RECONCILE.gauge(
    "kappi_reconcile_differences",
    "Differences that the last finished run of a check found and did not repair",
    check=None,
    kind=None,
)
RECONCILE_FINISHED = RECONCILE.gauge(
    "kappi_reconcile_finished_timestamp_seconds", "When the last run of a check finished", check=None
)
RECONCILE_EXAMINED = RECONCILE.counter(
    "kappi_reconcile_examined_total", "Rows and objects that checks compared", check=None
)
RECONCILE_REPAIRED = RECONCILE.counter(
    "kappi_reconcile_repaired_total", "Differences that checks repaired", check=None, kind=None
)
