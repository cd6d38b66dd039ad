"""The URLs and network addresses that webhooks may call.

A webhook makes this service send requests to where a user wants. So it reaches public addresses only, unless
the operator names other networks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

MAX_URL_CHARACTERS: Final = 2_000
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
# The characters of RFC 3986 alone: parsers disagree about a backslash, spaces and letters beyond ASCII.
_PLAIN: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

Network = IPv4Network | IPv6Network
# IANA's special-purpose registries, and addresses at which clouds tell their machines secrets.
REFUSED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
    )
)
# Global unicast without what carries IPv4 addresses in it (Teredo, 6to4) and what is for documentation. All
# else is refused: mapped IPv4, NAT64, unique local, link-local, multicast.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
REFUSED_V6: Final = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class TargetRefused(ValueError):
    """A URL that no webhook may have. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRules:
    """plain_http: whether `http` is allowed. ports: the allowed ones; empty for any. networks: allowed
    although their addresses are not public.
    """

    plain_http: bool = False
    ports: frozenset[int] = frozenset({443})
    networks: Sequence[Network] = ()

    def allows_address(self, text: str) -> bool:
        """Whether an address may be called. text: IPv4 or IPv6, without a port."""
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self.networks) or is_public(address)

    def check(self, url: str) -> str:
        """Returns the host of a URL, in lower case. Raises TargetRefused."""
        if len(url) > MAX_URL_CHARACTERS:
            raise TargetRefused(f"It has more than {MAX_URL_CHARACTERS} characters.")
        if _PLAIN.fullmatch(url) is None:
            raise TargetRefused("It has characters that no URL has: encode them.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise TargetRefused("It is not a URL.") from error
        self._check_scheme(parts.scheme)
        if "@" in parts.netloc:
            raise TargetRefused("It has a user name or a password. The signature shows who calls.")
        if "#" in url:
            raise TargetRefused("It has a fragment, which is never sent.")
        used = _DEFAULT_PORTS[parts.scheme] if port is None else port
        if used == 0 or (self.ports and used not in self.ports):
            raise TargetRefused(
                f"Its port is not allowed. Allowed: {', '.join(map(str, sorted(self.ports)))}."
            )
        self._check_host(host)
        return host

    def _check_scheme(self, scheme: str) -> None:
        allowed = ("https", "http") if self.plain_http else ("https",)
        if scheme not in allowed:
            raise TargetRefused(f"It does not begin with {' or '.join(f'{name}://' for name in allowed)}.")

    def _check_host(self, host: str) -> None:
        is_name = _NAME.fullmatch(host) is not None and len(host) <= 253
        # `2130706433` and `0x7f.1` are addresses for some programs and names for others.
        ends_in_number = _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None
        if ":" in host or ends_in_number:
            if not self.allows_address(host):
                raise TargetRefused("Its address is not a public one.")
        elif not is_name:
            raise TargetRefused("Its host is not a name.")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in REFUSED_V4)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    return not any(address in network for network in REFUSED_V6)
