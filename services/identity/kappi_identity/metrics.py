"""The identity service's metrics: one closed list."""

from __future__ import annotations

from kappi_chassis.observability.metrics import LATENCY_BUCKETS_S
from prometheus_client import Counter, Gauge, Histogram

ACCOUNTS_CREATED = Counter("kappi_identity_created_accounts_total", "Accounts created")
ACCOUNTS_DELETED = Counter("kappi_identity_deleted_accounts_total", "Accounts deleted")
LOGINS = Counter(
    "kappi_identity_logins_total",
    "Attempts to log in with a password",
    ("outcome",),  # done, refused, throttled
)
REFRESHES = Counter(
    "kappi_identity_refreshes_total",
    "Refresh tokens presented",
    ("outcome",),  # rotate, retry, theft, unknown
)
PASSWORD_SECONDS = Histogram(
    "kappi_identity_password_seconds",
    "Time a password took to hash or check, waiting included",
    buckets=LATENCY_BUCKETS_S,
)
PASSWORDS_WAITING = Gauge("kappi_identity_waiting_passwords", "Passwords being hashed or waiting for it")
PASSWORDS_REFUSED = Counter(
    "kappi_identity_refused_passwords_total", "Passwords not even queued, because too many waited"
)
REHASHED = Counter("kappi_identity_rehashed_passwords_total", "Passwords hashed anew with other parameters")
RESET_MAILS = Counter(
    "kappi_identity_reset_mails_total",
    "Requests for a new password that were worked off",
    ("outcome",),  # sent, no_account, failed
)
KEY_STEPS = Counter(
    "kappi_identity_key_steps_total",
    "Signing keys moved along",
    ("step",),  # created, activated, forgotten
)
