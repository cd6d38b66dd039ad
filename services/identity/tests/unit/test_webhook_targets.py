"""The URLs and addresses that webhooks may have."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from kappi_identity.domain.webhook_targets import TargetRefused, TargetRules, is_public

REFUSED = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.7", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1"),
    *("100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(TargetRefused):
        TargetRules().check(f"https://{host}/")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert TargetRules().check(f"https://{host}/") == address


def test_a_network_of_the_settings_is_allowed_and_nothing_beside_it() -> None:
    rules = TargetRules(networks=[ip_network("192.168.7.0/24"), ip_network("fd00:7::/64")])
    assert rules.allows_address("192.168.7.9")
    assert rules.allows_address("fd00:7::9")
    assert not rules.allows_address("192.168.8.9")
    assert not rules.allows_address("::ffff:192.168.7.9")
    assert not rules.allows_address("kappi.example")


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "ftp://example.com/", "file:///etc/passwd", "example.com", "", "https://"),
        *("https://user@example.com/", "https://user:word@example.com/", "https://@example.com/"),
        *("https://example.com:8443/", "https://example.com:0/", "https://example.com:99999/"),
        *("https://example.com/#part", "https://example.com\\@127.0.0.1/", "https://exa mple.com/"),
        *("https://example.com/\r\nx: y", "https://exämple.com/", "https://\uff11\uff12\uff17.0.0.1/"),
        # Spellings that some programs read as 127.0.0.1.
        *(
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://0177.0.0.1/",
        ),
        *("https://127.0.0.1./", "https://%31%32%37.0.0.1/", "https://[::1%25lo]/", "https://[example.com]/"),
        *("https://-example.com/", "https://example..com/", f"https://{'a' * 300}.com/"),
        "https://example.com/" + "a" * 2_000,
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        TargetRules().check(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com", "example.com"),
        ("HTTPS://Example.COM:443/a/b?c=d&e=%20", "example.com"),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com"),
        ("https://hooks_2.example.com./", "hooks_2.example.com."),
    ],
)
def test_an_https_url_is_allowed(url: str, host: str) -> None:
    assert TargetRules().check(url) == host


def test_http_and_other_ports_are_settings() -> None:
    rules = TargetRules(plain_http=True, ports=frozenset())
    assert rules.check("http://example.com:8080/") == "example.com"
    with pytest.raises(TargetRefused):
        TargetRules(plain_http=True).check("http://example.com/")  # port 80
