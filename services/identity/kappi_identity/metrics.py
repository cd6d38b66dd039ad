"""The metrics of the identity service, as one closed list."""

from __future__ import annotations

from prometheus_client import Counter

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
MODERATED = Counter(
    "kappi_identity_moderation_total",
    "What administrators decided against misuse",
    ("decision",),  # account_suspended, account_reinstated, gallery_taken_down, takedown_lifted
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
