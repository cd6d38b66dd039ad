"""The base URL of the links in an answer.

It is the public URL, unless the gateway's header names another address of this deployment that the client
used. The header can be believed, because services answer callers of their own deployment alone (ADR-0032).
"""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import urlsplit

from kappi_chassis.settings import is_loopback

BASE_URL = b"x-kappi-base-url"

told: ContextVar[str | None] = ContextVar("base_url", default=None)
"""The base URL in the gateway's header of this request, without a final slash."""


def base_url(public_url: str) -> str:
    """Returns the base URL of links that the client itself requests next."""
    return told.get() or public_url.rstrip("/")


def link_base_url(public_url: str) -> str:
    """Returns the base URL of links that people pass on.

    It is the public URL, unless that is a loopback address, which no other machine could reach.
    """
    if is_loopback(urlsplit(public_url).hostname or ""):
        return base_url(public_url)
    return public_url.rstrip("/")
