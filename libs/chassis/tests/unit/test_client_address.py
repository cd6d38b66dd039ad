from __future__ import annotations

import pytest
from kappi_chassis.http.client_address import address_subject, client_address
from starlette.requests import Request


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_an_ipv6_address_is_limited_by_its_network(address: str, subject: str) -> None:
    assert address_subject(address) == subject


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("192.0.2.7", "192.0.2.7"), ("198.51.100.1, 192.0.2.7", "192.0.2.7"), (None, "127.0.0.1")],
)
def test_the_client_address_is_the_last_forwarded_one(forwarded: str | None, address: str) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    request = Request({"type": "http", "headers": headers, "client": ("127.0.0.1", 1)})
    assert client_address(request) == address
