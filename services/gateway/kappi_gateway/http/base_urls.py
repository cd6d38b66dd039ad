"""The base URL of the links in an answer: the public URL, or the address that the client used.

A client can write anything into `Host`, and links built from it end up in caches and chats of other people.
So an address counts only if the settings list it, or if it is the address of this machine that the connection
was made to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from kappi_chassis.http.edge import Scope
from kappi_chassis.settings import is_loopback

from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.http.headers import FORWARDED_HOST, HOST, first, text

_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")
"""A name or an address, as `Host` has it (RFC 9110, 7.2)."""


class BaseUrls:
    """Finds the base URL of a request.

    public_url: None if none is set. hosts: further accepted hosts, with the port unless it is the scheme's
    default. own_addresses: whether the addresses of this machine are accepted, too. addresses: decides which
    peers' forwarding headers are believed.
    """

    def __init__(
        self,
        public_url: str | None,
        *,
        addresses: ClientAddresses,
        hosts: Iterable[str] = (),
        own_addresses: bool = False,
    ) -> None:
        self._public = urlsplit(public_url or "")
        self._addresses = addresses
        self._public_host = self._public.netloc.encode()
        self._hosts = frozenset(hosts)
        self._own_addresses = own_addresses

    @property
    def path(self) -> str:
        """The path of the public URL."""
        return self._public.path

    def of_request(self, scope: Scope) -> str | None:
        """Returns the base URL for this request, None for the public URL."""
        host = self._host_of(scope)
        if host is None or host == self._public_host:
            return None
        named = host.decode("latin-1").lower()
        if named not in self._hosts and not (self._own_addresses and named in _names_of(*scope["server"])):
            return None
        return f"{self._addresses.scheme_of(scope)}://{named}{self.path}"

    def of_link(self, scope: Scope) -> str:
        """Returns the base URL of a link that people pass on, as the galleries service builds it.

        It is the public URL, unless that is a loopback address, which no other machine could reach.
        """
        public = self._public.geturl()
        if self._public.hostname and not is_loopback(self._public.hostname):
            return public
        return self.of_request(scope) or public or self.of_page(scope).geturl()

    def of_page(self, scope: Scope) -> SplitResult:
        """Returns the base URL of a page that only its own client reads.

        Without a proxy in front, any host is accepted, because this machine may have names that the gateway
        cannot know. Raises HeaderUnreadable.
        """
        base_url = self.of_request(scope)
        if base_url is not None:
            return urlsplit(base_url)
        host = self._host_of(scope)
        if host is None or not _HOST.fullmatch(host) or (self._public_host and not self._own_addresses):
            return self._public
        return SplitResult(self._addresses.scheme_of(scope), text(host), self.path, "", "")

    def _host_of(self, scope: Scope) -> bytes | None:
        if self._addresses.trusts_some and (client := scope["client"]) and self._addresses.trusts(client[0]):
            forwarded = first(scope["headers"], FORWARDED_HOST)
            if forwarded is not None:
                return forwarded.rpartition(b",")[2].strip()  # set by the nearest proxy
        return first(scope["headers"], HOST)


@lru_cache(maxsize=256)
def _names_of(address: str, port: int) -> frozenset[str]:
    """Returns the host names by which a client may call the address that it is connected to."""
    try:
        ip = ip_address(address)
    except ValueError:
        return frozenset()
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    names = {f"[{ip}]" if ip.version == 6 else str(ip)}
    if ip.is_loopback:
        names.add("localhost")
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))
