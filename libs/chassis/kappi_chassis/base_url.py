"""Where the URLs of an answer begin.

That is the public URL, unless the gateway says of a call that its client came by another address, which it
knows to be ours. It says so in a header, as services answer callers of their own deployment alone (ADR-0032).
"""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import urlsplit

from kappi_chassis.settings import is_loopback

BASE_URL = b"x-kappi-base-url"

told: ContextVar[str | None] = ContextVar("base_url", default=None)
"""What the gateway said of this call, without a final slash."""


def base_url(public_url: str) -> str:
    """Of what the client itself asks for next."""
    return told.get() or public_url.rstrip("/")


def link_base_url(public_url: str) -> str:
    """Of what is passed on to others: the public URL, unless that names nothing that others could reach."""
    if is_loopback(urlsplit(public_url).hostname or ""):
        return base_url(public_url)
    return public_url.rstrip("/")
