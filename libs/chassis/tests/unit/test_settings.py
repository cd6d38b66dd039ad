"""Settings as operators write them: lists are comma-separated, and unknown words are refused."""

from __future__ import annotations

import pytest
from kappi_chassis.settings import ALL_ROLES, ServiceSettings
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict


class _Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="KAPPI_MADE_UP_", frozen=True, extra="ignore")

    port: int = 1
    ops_port: int = 2


@pytest.mark.parametrize(
    ("text", "roles"),
    [("api", {"api"}), ("worker,relay", {"worker", "relay"}), (" worker , relay ", {"worker", "relay"})],
)
def test_roles_are_a_list_of_words(text: str, roles: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_MADE_UP_ROLES", text)
    assert _Settings().roles == roles


@pytest.mark.parametrize("text", ["", "apy", "api,", '["api"]'])
def test_a_role_that_does_not_exist_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_MADE_UP_ROLES", text)
    with pytest.raises(ValidationError):
        _Settings()


def test_without_a_setting_a_process_has_all_roles() -> None:
    assert _Settings().roles == ALL_ROLES


def test_a_refused_setting_does_not_show_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value may be a secret, and the message is logged at the start."""
    monkeypatch.setenv("KAPPI_MADE_UP_PORT", "hunter2")
    with pytest.raises(ValidationError) as refused:
        _Settings()
    assert "port" in str(refused.value)
    assert "hunter2" not in str(refused.value)
