"""The client's address: the peer's, or that in a trusted proxy's `X-Forwarded-For` (older than RFC 7239)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from kappi_chassis.http.edge import Scope

from kappi_gateway.http.headers import FORWARDED_FOR, FORWARDED_PROTO, first
from kappi_gateway.limits.address_key import limit_key

UNKNOWN = "unknown"
Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address


class ClientAddresses:
    """Finds a client's address. trusted: networks of the proxies whose forwarding headers are believed."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)
        self.trusts_some = bool(self._trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._lies_in_trusted)

    def trusts(self, peer: str) -> bool:
        """Whether the peer's X-Forwarded-… headers are believed."""
        return self.trusts_some and self._is_trusted(peer)

    def key_of_peer(self, peer: str) -> str | None:
        """Returns the key of connection limits; None for a trusted proxy, which connects for many clients."""
        return None if self.trusts(peer) else limit_key(peer)

    def of(self, peer: str, forwarded_for: str | None) -> str:
        """Returns the nearest address that is not a trusted proxy.

        Any client may have written the ones beyond it.
        """
        if forwarded_for is None or not self.trusts(peer):
            return peer
        client = peer
        for hop in reversed(forwarded_for.split(",")):
            hop = hop.strip()
            if _parse(hop) is None:
                return client
            client = hop
            if not self._is_trusted(hop):
                return client
        return client

    def of_request(self, scope: Scope) -> str:
        """Returns the client's address and sets the scope's scheme to that of the client's connection."""
        client = scope["client"]
        peer: str = client[0] if client else UNKNOWN
        if not self.trusts(peer):
            return peer
        scope["scheme"] = self.scheme_of(scope)
        # A repeated header means the same as one list (RFC 9110, 5.3).
        chain = b",".join(value for name, value in scope["headers"] if name == FORWARDED_FOR)
        return self.of(peer, chain.decode("latin-1"))

    def scheme_of(self, scope: Scope) -> str:
        """Returns the scheme of the client's connection: `http` or `https`."""
        client, scheme = scope["client"], str(scope["scheme"])
        if client and self.trusts(client[0]):
            forwarded = first(scope["headers"], FORWARDED_PROTO)
            if forwarded in (b"http", b"https"):
                return forwarded.decode()
        return scheme

    def _lies_in_trusted(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(
            parsed in network for network in self._trusted if network.version == parsed.version
        )


def _parse(text: str) -> _Address | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
