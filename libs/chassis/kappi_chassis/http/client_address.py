"""The client's address as the gateway sent it, and the key by which limits count addresses."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from starlette.requests import Request

IPV6_SITE_BITS = 64


def client_address(request: Request) -> str:
    """Returns the client's address that the gateway sent; without one, the peer's."""
    forwarded = request.headers.get("x-forwarded-for", "")
    peer = request.client.host if request.client is not None else ""
    return forwarded.rpartition(",")[2].strip() or peer


def address_subject(address: str) -> str:
    """Returns the key for limits: an IPv4 address, or the /64 of an IPv6 one, which one host owns."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> IPV6_SITE_BITS << IPV6_SITE_BITS)}/{IPV6_SITE_BITS}"
    return str(parsed)
