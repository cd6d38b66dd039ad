"""The addresses in a request that are accepted, and those that are ignored."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from kappi_gateway.http.base_urls import BaseUrls
from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.http.public_url import checked_public_url

PROXY, CLIENT = "10.0.0.1", "198.51.100.7"


def scope(*headers: str, peer: str = CLIENT, server: tuple[str, int] = ("127.0.0.2", 8000)) -> dict[str, Any]:
    split = [header.split(": ") for header in headers]
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in split]
    return {"type": "http", "scheme": "http", "client": (peer, 1), "server": server, "headers": raw}


def base_urls(public_url: str | None = "http://localhost:8000", **settings: Any) -> BaseUrls:
    return BaseUrls(public_url, addresses=ClientAddresses([ip_network(f"{PROXY}/32")]), **settings)


@pytest.mark.parametrize(
    ("host", "server", "named"),
    [
        ("127.0.0.2:8000", ("127.0.0.2", 8000), "http://127.0.0.2:8000"),
        ("192.0.2.7:8000", ("192.0.2.7", 8000), "http://192.0.2.7:8000"),
        ("192.0.2.7:8000", ("::ffff:192.0.2.7", 8000), "http://192.0.2.7:8000"),
        ("[2001:db8::7]:8000", ("2001:db8::7", 8000), "http://[2001:db8::7]:8000"),
        ("192.0.2.7", ("192.0.2.7", 80), "http://192.0.2.7"),
        ("LOCALHOST:8001", ("127.0.0.1", 8001), "http://localhost:8001"),
        ("localhost:8000", ("127.0.0.1", 8000), None),  # is the public URL
        ("localhost:8001", ("192.0.2.7", 8001), None),
        ("192.0.2.8:8000", ("192.0.2.7", 8000), None),
        ("192.0.2.7:8001", ("192.0.2.7", 8000), None),
        ("192.0.2.7", ("192.0.2.7", 8000), None),
        ("evil.example", ("192.0.2.7", 8000), None),
        ("192.0.2.7:8000/x", ("192.0.2.7", 8000), None),
        ("192.0.2.7:8000@evil.example", ("192.0.2.7", 8000), None),
        ("", ("192.0.2.7", 8000), None),
        ("\xff", ("192.0.2.7", 8000), None),
    ],
)
def test_a_host_that_is_the_address_of_the_connection_is_accepted(
    host: str, server: tuple[str, int], named: str | None
) -> None:
    asked = scope(f"Host: {host}", server=server)
    assert base_urls(own_addresses=True).of_request(asked) == named
    assert base_urls(own_addresses=False).of_request(asked) is None


@pytest.mark.parametrize(
    ("headers", "peer", "named"),
    [
        (["Host: photos.lan"], CLIENT, "http://photos.lan/kappi"),
        (["Host: Photos.LAN"], CLIENT, "http://photos.lan/kappi"),
        (["Host: other.lan"], CLIENT, None),
        (["Host: inside:8000", "X-Forwarded-Host: photos.lan"], CLIENT, None),
        (
            ["Host: inside:8000", "X-Forwarded-Host: photos.lan", "X-Forwarded-Proto: https"],
            PROXY,
            "https://photos.lan/kappi",
        ),
        (["Host: photos.lan", "X-Forwarded-Host: evil.example"], PROXY, None),
        (
            ["Host: inside:8000", "X-Forwarded-Host: evil.example, photos.lan"],
            PROXY,
            "http://photos.lan/kappi",
        ),
        (["Host: photos.lan", "X-Forwarded-Proto: https"], CLIENT, "http://photos.lan/kappi"),
        ([], CLIENT, None),
    ],
)
def test_listed_hosts_are_accepted_also_if_forwarded_by_trusted_proxies(
    headers: list[str], peer: str, named: str | None
) -> None:
    known = base_urls("https://kappi.example/kappi", hosts=["photos.lan"])
    assert known.of_request(scope(*headers, peer=peer)) == named
    shown = known.of_page(scope(*headers, peer=peer)).geturl()
    assert shown == (named or "https://kappi.example/kappi")


@pytest.mark.parametrize("settings", [{"public_url": None}, {"own_addresses": True}])
def test_without_a_proxy_a_page_may_have_any_host(settings: dict[str, Any]) -> None:
    known = base_urls(**settings)
    asked = scope("Host: box.local:8000")
    assert known.of_request(asked) is None
    assert known.of_page(asked).geturl() == "http://box.local:8000"


@pytest.mark.parametrize(
    "host", ["", "box;script-src *", "box.local:80@evil.example", "box/x", "[::1", "\xff"]
)
def test_an_invalid_host_is_replaced_by_the_public_url(host: str) -> None:
    asked = scope(f"Host: {host}")
    assert base_urls(own_addresses=True).of_page(asked).geturl() == "http://localhost:8000"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://kappi.example/", "https://kappi.example"),
        ("https://kappi.example:8443", "https://kappi.example:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://kappi.example/photos/of-us/", "https://kappi.example/photos/of-us"),
    ],
)
def test_public_urls_are_read(given: str, kept: str) -> None:
    assert checked_public_url(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "kappi.example",
        "ftp://kappi.example",
        "https://",
        "https://kappi.example/?a=b",
        "https://kappi.example/#top",
        "https://ada@kappi.example",
        "https://kappi.example/a%2Fb",
        "https://kappi.example/a//b",
        "https://kappi.example/a/../b",
        "https://kappi.example/a b",
        "https://kappi.example/v1",
        "https://kappi.example/admin/kappi",
        "https://kappi.example/store",
    ],
)
def test_an_invalid_public_url_is_refused_with_a_sentence(given: str) -> None:
    with pytest.raises(ValueError, match=r"kappi|https") as refused:
        checked_public_url(given)
    assert " " in str(refused.value)
