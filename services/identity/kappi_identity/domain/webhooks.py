"""The rules of webhooks: their secrets and signatures (Standard Webhooks), and the pauses after failures."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NewType, get_args
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kappi_identity.domain.accounts import AccountId
from kappi_identity.domain.tokens import KeySecretWrong, derived_secret

WebhookId = NewType("WebhookId", UUID)
DeliveryId = NewType("DeliveryId", UUID)

WebhookEvent = Literal["media.ready", "media.deleted", "gallery.deleted", "comment.added"]
WEBHOOK_EVENTS: Final[tuple[WebhookEvent, ...]] = get_args(WebhookEvent)
DisabledReason = Literal["requested", "gone", "failing"]
DeliveryStatus = Literal["pending", "delivered", "failed"]
CallError = Literal["timeout", "connection_failed", "tls_failed", "address_refused", "secret_unreadable"]

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the beginning of every secret
SECRET_BYTES: Final = 32
FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(hours=1)
_GROWTH: Final = 3
_NONCE_BYTES: Final = 12
_GONE: Final = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A URL that is called about events of an account.

    failing_since: of the first failure after the last success. dropped: deliveries that were removed before
    they were made, because newer ones took their place.
    """

    id: WebhookId
    account_id: AccountId
    url: str
    events: tuple[WebhookEvent, ...]
    created_at: datetime
    failures: int = 0
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: DisabledReason | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one webhook. number: grows with each delivery of the webhook.

    attempts: calls since it was queued or sent again. last_status: the HTTP status of the last call; None if
    no answer came, for the reason in last_error.
    """

    id: DeliveryId
    webhook_id: WebhookId
    number: int
    event: WebhookEvent
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    retry_until: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: CallError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """The outcome of one call. status: of the answer; None if none came, for the reason in error."""

    status: int | None = None
    error: CallError | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == _GONE


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """Returns a secret in the form that libraries of Standard Webhooks read."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secret: bytes, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Returns the value of `webhook-signature`. timestamp: seconds since 1970, as in `webhook-timestamp`.

    Source: Standard Webhooks 1.0, symmetric signatures.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def pause_after(failures: int, *, chance: float) -> timedelta:
    """Returns the time to wait after so many failures in a row. chance: 0 to 1; spreads the attempts."""
    # Beyond this many steps the pause is the longest one, and the power would only grow.
    growth: int = _GROWTH ** min(max(failures, 1) - 1, 10)
    return min(FIRST_PAUSE * growth, LONGEST_PAUSE) * (0.5 + chance / 2)


class SecretSeal:
    """Encrypts the secrets of webhooks for the database, so that a copy of the database cannot sign."""

    def __init__(self, secret: bytes) -> None:
        self._box = AESGCM(derived_secret(secret, "webhook secrets"))

    def seal(self, secret: bytes, *, webhook_id: WebhookId) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._box.encrypt(nonce, secret, webhook_id.bytes)

    def open(self, sealed: bytes, *, webhook_id: WebhookId) -> bytes:
        """Returns the decrypted secret. Raises KeySecretWrong."""
        try:
            return self._box.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], webhook_id.bytes)
        except InvalidTag as error:
            raise KeySecretWrong(
                "set the KAPPI_IDENTITY_KEY_SECRET the webhooks were created under"
            ) from error
