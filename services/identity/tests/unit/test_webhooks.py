"""Signatures, secrets and pauses of webhooks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
from kappi_chassis.clock import new_id
from kappi_identity.domain.tokens import KeySecretWrong
from kappi_identity.domain.webhooks import (
    LONGEST_PAUSE,
    CallResult,
    SecretSeal,
    WebhookId,
    new_secret,
    pause_after,
    secret_text,
    signature,
)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of Standard Webhooks 1.0."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert (
        signature(secret, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1_614_265_330, body=body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_receiver_verifies_with_the_library_of_the_scheme() -> None:
    secret, body = new_secret(), b'{"type": "media.ready"}'
    now = int(datetime.now(tz=UTC).timestamp())
    headers = {
        "webhook-id": "a",
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, message_id="a", timestamp=now, body=body),
    }
    receiver = standardwebhooks.Webhook(secret_text(secret))
    assert receiver.verify(body, headers) == {"type": "media.ready"}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        receiver.verify(body + b" ", headers)


def test_a_sealed_secret_opens_for_its_webhook_under_its_key_alone() -> None:
    seal, one, other = SecretSeal(b"k" * 16), WebhookId(new_id()), WebhookId(new_id())
    secret = new_secret()
    sealed = seal.seal(secret, webhook_id=one)
    assert secret not in sealed
    assert seal.open(sealed, webhook_id=one) == secret
    with pytest.raises(KeySecretWrong):
        seal.open(sealed, webhook_id=other)
    with pytest.raises(KeySecretWrong):
        SecretSeal(b"l" * 16).open(sealed, webhook_id=one)


def test_pauses_grow_up_to_an_hour_and_are_spread() -> None:
    longest = [pause_after(failures, chance=1.0) for failures in range(1, 40)]
    assert longest[:4] == [timedelta(seconds=seconds) for seconds in (5, 15, 45, 135)]
    assert longest == sorted(longest)
    assert longest[-1] == LONGEST_PAUSE
    assert pause_after(2, chance=0.0) == timedelta(seconds=7.5)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    assert CallResult(status=status).is_success


@pytest.mark.parametrize("status", [None, 199, 301, 302, 400, 410, 429, 500])
def test_nothing_else_is(status: int | None) -> None:
    assert not CallResult(status=status).is_success
    assert CallResult(status=status).is_gone == (status == 410)
