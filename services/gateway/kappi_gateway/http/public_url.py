"""Checks the public URL: an address, with a path if a proxy serves the gateway below one."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_OWN_SEGMENTS = frozenset(
    {".well-known", "admin", "docs", "g", "openapi.json", "reset-password", "store", "v1"}
)


def checked_public_url(text: str) -> str:
    """Returns a public URL without a final slash. Raises ValueError with a readable sentence."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{text!r} is no address such as https://kappi.example")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(
            f"{text!r} has more than a host and a path: no query, fragment or user belongs into it"
        )
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError(
            f"the path of {text!r} may have letters, digits and . _ ~ - between its slashes only"
        )
    if path and path.split("/")[1] in _OWN_SEGMENTS:
        raise ValueError(
            f"the path of {text!r} begins as one of the service's own: choose another, such as /photos"
        )
    return f"{parts.scheme}://{parts.netloc}{path}"
