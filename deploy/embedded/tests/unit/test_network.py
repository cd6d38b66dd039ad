from __future__ import annotations

import io

import pytest
from kappi_embedded import network, up
from kappi_embedded.console import Console
from kappi_embedded.network import network_address, phone_url, qr_code
from kappi_embedded.plan import read_plan


@pytest.fixture
def in_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "network_address", lambda: "192.0.2.7")


@pytest.mark.usefixtures("in_a_network")
@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, None),
        ({"KAPPI_HOST": "0.0.0.0", "KAPPI_PORT": "81"}, "http://192.0.2.7:81"),
        ({"KAPPI_HOST": "0.0.0.0", "KAPPI_PUBLIC_URL": "http://localhost:8000"}, "http://192.0.2.7:8000"),
        ({"KAPPI_HOST": "10.1.2.3"}, "http://10.1.2.3:8000"),
        ({"KAPPI_PUBLIC_URL": "https://kappi.example/photos"}, "https://kappi.example/photos"),
    ],
)
def test_the_address_for_a_phone_depends_on_host_and_public_url(
    given: dict[str, str], url: str | None
) -> None:
    assert phone_url(read_plan(given)) == url


def test_the_address_is_found_without_sending_packets() -> None:
    address = network_address()
    assert address is None or (address.count(".") == 3 and not address.startswith("127."))


def said(given: dict[str, str]) -> str:
    stream = io.StringIO()
    up._invite_phones(read_plan(given), Console(stream))
    return stream.getvalue()


@pytest.mark.usefixtures("in_a_network")
def test_the_terminal_shows_the_address_and_its_code_on_forty_columns() -> None:
    shown = said({"KAPPI_HOST": "0.0.0.0"}).splitlines()
    assert shown[0].split() == ["Phone", "http://192.0.2.7:8000"]
    assert [line.strip() for line in shown[1:-1]] == qr_code("http://192.0.2.7:8000").splitlines()
    assert max(map(len, shown)) <= 40


def test_the_output_explains_how_to_admit_phones_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "network_address", lambda: None)
    assert "KAPPI_HOST=0.0.0.0" in said({})
    assert "no network" in said({"KAPPI_HOST": "0.0.0.0"})
