from __future__ import annotations

from datetime import timedelta

import pytest
from kappi_chassis.auth.verifier import FRESH_S
from kappi_identity.settings import MIN_PUBLISH_AHEAD, IdentitySettings
from pydantic import ValidationError

REQUIRED = {
    "KAPPI_IDENTITY_DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
    "KAPPI_IDENTITY_IDEMPOTENCY_SECRET": "s" * 32,
    "KAPPI_IDENTITY_KEY_SECRET": "k" * 32,
    "KAPPI_IDENTITY_MAIL_DIR": "/somewhere",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def read() -> IdentitySettings:
    return IdentitySettings()  # type: ignore[call-arg]  # they come from the environment


def test_the_defaults_are_the_promised_ones(environment: pytest.MonkeyPatch) -> None:
    settings = read()
    assert (settings.port, settings.ops_port) == (8001, 9001)
    assert settings.access_token_lifetime == timedelta(minutes=10)
    assert settings.reset_lifetime == timedelta(minutes=30)
    # The parameters of OWASP: 19 MiB, two passes.
    assert (settings.password_memory_kib, settings.password_time_cost) == (19 * 1024, 2)


def test_a_key_is_published_for_longer_than_verifiers_keep_a_set(environment: pytest.MonkeyPatch) -> None:
    assert MIN_PUBLISH_AHEAD.total_seconds() >= FRESH_S
    assert read().key_publish_ahead > MIN_PUBLISH_AHEAD


def test_the_public_url_is_shared_with_the_other_services(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAPPI_PUBLIC_URL", "https://kappi.example")
    assert read().public_url == "https://kappi.example"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAPPI_IDENTITY_SMTP_HOST", "both"),
        ("KAPPI_IDENTITY_SMTP_USERNAME", "without-a-password"),
        ("KAPPI_IDENTITY_KEY_SECRET", "short"),
        ("KAPPI_IDENTITY_KEY_PUBLISH_AHEAD", "PT1M"),
        ("KAPPI_IDENTITY_ACCESS_TOKEN_LIFETIME", "0"),
        ("KAPPI_IDENTITY_RESET_LIFETIME", "PT10M"),  # shorter than the time until the next mail
    ],
)
def test_settings_that_cannot_be_are_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        read()


def test_mail_has_to_go_somewhere(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("KAPPI_IDENTITY_MAIL_DIR")
    with pytest.raises(ValidationError):
        read()


def test_an_smtp_password_is_not_sent_in_the_clear(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("KAPPI_IDENTITY_MAIL_DIR")
    for name, value in (("HOST", "mail"), ("USERNAME", "u"), ("PASSWORD", "p")):
        environment.setenv(f"KAPPI_IDENTITY_SMTP_{name}", value)
    assert read().smtp_host == "mail"
    environment.setenv("KAPPI_IDENTITY_SMTP_SECURITY", "none")
    with pytest.raises(ValidationError):
        read()


def test_secrets_do_not_show_in_a_printed_settings_object(environment: pytest.MonkeyPatch) -> None:
    assert "k" * 32 not in repr(read())
    assert "s" * 32 not in repr(read())
