from __future__ import annotations

from ipaddress import ip_network

import pytest
from kappi_gateway.http.client_address import ClientAddresses

TRUSTED = ClientAddresses((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("1.1.1.1", None, "1.1.1.1"),
        ("1.1.1.1", "2.2.2.2", "1.1.1.1"),
        ("10.0.0.1", "2.2.2.2", "2.2.2.2"),
        ("10.0.0.1", "6.6.6.6, 2.2.2.2", "2.2.2.2"),
        ("10.0.0.1", "6.6.6.6,2.2.2.2, 10.9.9.9", "2.2.2.2"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "2.2.2.2, nonsense", "10.0.0.1"),
        ("10.0.0.1", "nonsense, 2.2.2.2", "2.2.2.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "2.2.2.2", "2.2.2.2"),
        ("unix", "2.2.2.2", "unix"),
    ],
)
def test_the_client_address_is_found_behind_trusted_proxies(
    peer: str, forwarded: str | None, client: str
) -> None:
    assert TRUSTED.of(peer, forwarded) == client


def test_no_proxy_is_trusted_by_default() -> None:
    assert ClientAddresses(()).of("127.0.0.1", "2.2.2.2") == "127.0.0.1"
