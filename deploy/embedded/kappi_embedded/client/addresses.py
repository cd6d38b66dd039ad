"""Addresses of deployments as people type them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


class BadAddress(ValueError):
    """Not the address of a deployment; the message says what one looks like."""


def base_url(text: str) -> str:
    """The address without a final slash; where no scheme is given, the one that is usual there.

    Raises BadAddress.
    """
    typed = text.strip()
    try:
        parts = urlsplit(typed if "://" in typed else f"//{typed}")
        host, _ = parts.hostname, parts.port  # the port is looked at when it is asked for
    except ValueError as error:
        raise _bad(text) from error
    scheme = parts.scheme or ("http" if host and _is_near(host) else "https")
    if (
        not host
        or scheme not in {"http", "https"}
        or parts.query
        or parts.fragment
        or not typed.isprintable()
    ):
        raise _bad(text)
    return f"{scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _is_near(host: str) -> bool:
    """An address or a name without a dot: a machine of one's own network, which rarely has a certificate."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".local")
    return True


def _bad(text: str) -> BadAddress:
    return BadAddress(
        f"{text!r} is no address: write one like http://localhost:8000 or https://kappi.example"
    )
