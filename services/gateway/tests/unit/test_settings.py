from __future__ import annotations

from ipaddress import ip_network

import pytest
from kappi_gateway.settings import GatewaySettings
from pydantic import ValidationError


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPI_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("KAPPI_GATEWAY_MEDIA_ORIGINS", "https://a.example/,http://b.example:9000")
    settings = GatewaySettings()
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.media_origins == ("https://a.example", "http://b.example:9000")


@pytest.mark.parametrize(
    "origin",
    ["https://a.example/path", "ftp://a", "a.example", "https://a; script-src *", "https://a b", "'self'"],
)
def test_an_origin_cannot_extend_the_content_security_policy(origin: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({"media_origins": origin})


@pytest.mark.parametrize("url", ["media:8003", "http://", "http://a?b", "unix:///x"])
def test_addresses_are_validated(url: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(media_url=url)


def test_a_final_slash_does_not_matter() -> None:
    assert GatewaySettings(media_url="http://media:8003/").media_url == "http://media:8003"
