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
