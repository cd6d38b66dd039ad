"""The metrics of the identity service, as one closed list."""

from __future__ import annotations

from kappi_chassis.observability.declared import MetricGroup

API = MetricGroup()
"""Exported in the role `api`."""
WORKER = MetricGroup()
"""Exported in the role `worker`."""
EITHER = MetricGroup()
"""Exported in the roles `api` and `worker`."""

ACCOUNTS_CREATED = API.counter("kappi_identity_created_accounts_total", "Accounts created")
ACCOUNTS_DELETED = API.counter("kappi_identity_deleted_accounts_total", "Accounts deleted")
LOGINS = API.counter(
    "kappi_identity_logins_total",
    "Attempts to log in with a password",
    outcome=("done", "refused", "throttled"),
)
REFRESHES = API.counter(
    "kappi_identity_refreshes_total",
    "Refresh tokens presented",
    outcome=("rotate", "retry", "theft", "unknown"),
)
MODERATED = API.counter(
    "kappi_identity_moderation_total",
    "What administrators decided against misuse",
    decision=("account_suspended", "account_reinstated", "gallery_taken_down", "takedown_lifted"),
)
REHASHED = API.counter(
    "kappi_identity_rehashed_passwords_total", "Passwords hashed anew with other parameters"
)
RESET_MAILS = WORKER.counter(
    "kappi_identity_reset_mails_total",
    "Requests for a new password that were worked off",
    outcome=("sent", "no_account", "failed"),
)
KEY_STEPS = EITHER.counter(
    "kappi_identity_key_steps_total", "Signing keys moved along", step=("created", "activated", "forgotten")
)
DELIVERIES_QUEUED = WORKER.counter(
    "kappi_identity_queued_deliveries_total", "Deliveries to webhooks that were queued for events"
)
DELIVERIES_DROPPED = WORKER.counter(
    "kappi_identity_dropped_deliveries_total",
    "Pending deliveries that were removed because newer ones of their webhook took their place",
)
WEBHOOK_CALLS = WORKER.counter(
    "kappi_identity_webhook_calls_total",
    "Calls of webhooks",
    outcome=(
        "delivered",
        "refused",  # an answer other than 2xx
        "timeout",
        "connection_failed",
        "tls_failed",
        "address_refused",
        "secret_unreadable",
    ),
)
WEBHOOK_CALL_SECONDS = WORKER.histogram(
    "kappi_identity_webhook_call_seconds",
    "Durations of calls of webhooks",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
DELIVERY_DUE_SECONDS = WORKER.gauge(
    "kappi_identity_oldest_due_delivery_seconds",
    "Time for which the first delivery that is due has waited for a call to its webhook; 0 if none is due",
)
WEBHOOKS_DISABLED = EITHER.counter(
    "kappi_identity_disabled_webhooks_total",
    "Webhooks disabled",
    reason=("requested", "gone", "failing"),
)
WEBHOOK_NOTICES = WORKER.counter(
    "kappi_identity_webhook_notices_total",
    "Notices to owners of disabled webhooks that were worked off",
    outcome=("sent", "failed"),
)
