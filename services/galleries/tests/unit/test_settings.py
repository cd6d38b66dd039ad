from __future__ import annotations

from pathlib import Path

import pytest
from kappi_galleries.settings import GalleriesSettings
from pydantic import ValidationError

REQUIRED = {
    "KAPPI_GALLERIES_DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
    "KAPPI_GALLERIES_IDEMPOTENCY_SECRET": "s" * 32,
    "KAPPI_GALLERIES_GRANT_KEY": "a pem",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def read() -> GalleriesSettings:
    return GalleriesSettings()  # type: ignore[call-arg]  # they come from the environment


def test_the_defaults_are_the_promised_ones(environment: pytest.MonkeyPatch) -> None:
    settings = read()

    assert (settings.port, settings.ops_port) == (8002, 9002)
    assert settings.anonymous_lifetime.days == 30
    assert settings.code_length == 4
    assert settings.grant_key_pem() == "a pem"


def test_the_public_url_is_shared_with_the_other_services(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAPPI_PUBLIC_URL", "https://kappi.example")
    assert read().public_url == "https://kappi.example"


def test_the_grant_key_may_be_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "grant.pem"
    file.write_text("from a file")
    environment.delenv("KAPPI_GALLERIES_GRANT_KEY")
    environment.setenv("KAPPI_GALLERIES_GRANT_KEY_FILE", str(file))
    assert read().grant_key_pem() == "from a file"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAPPI_GALLERIES_GRANT_KEY_FILE", "/both"),
        ("KAPPI_GALLERIES_ANONYMOUS_LIFETIME", "P31D"),
        ("KAPPI_GALLERIES_CODE_ALPHABET", "ABC"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        read()


def test_secrets_do_not_show_in_a_printed_settings_object(environment: pytest.MonkeyPatch) -> None:
    assert "a pem" not in repr(read())
    assert "s" * 32 not in repr(read())
