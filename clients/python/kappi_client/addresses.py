"""Addresses of deployments, and codes and links of galleries, as people type them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit


class BadAddress(ValueError):
    """The text is not the address of a deployment; the message has an example."""


class NotACode(ValueError):
    """The text is neither a code nor a link of a gallery."""


def base_url(text: str) -> str:
    """Returns the address without a final slash, and with the usual scheme where the text has none.

    Raises BadAddress.
    """
    typed = text.strip()
    try:
        parts = urlsplit(typed if "://" in typed else f"//{typed}")
        host, _ = parts.hostname, parts.port  # `port` is checked when it is read
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


def parse_code(text: str) -> tuple[str | None, str]:
    """Returns (base URL, code or gallery id). The base URL is None where the text is not a link.

    Raises NotACode.
    """
    typed = text.strip()
    base, link, code = typed.rpartition("/g/") if "/" in typed else ("", "", typed)
    if "/" in typed and not (base and link):
        raise NotACode(f"{text!r} is no gallery's link: those end with /g/ and the code")
    code = re.split(r"[/?#]", code, maxsplit=1)[0]
    if not (code.isascii() and code.isalnum()) and not is_gallery_id(code):
        raise NotACode(f"{code!r} is no gallery's code: those are letters and digits")
    try:
        return base_url(base) if base else None, code.lower()
    except BadAddress as error:
        raise NotACode(str(error)) from error


def is_gallery_id(text: str) -> bool:
    """Whether the text has the form of a gallery's id. No code has that form."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


def _is_near(host: str) -> bool:
    """Whether the host is an IP address or a name without a dot. Those rarely have a certificate."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".local")
    return True


def _bad(text: str) -> BadAddress:
    return BadAddress(
        f"{text!r} is no address: write one like http://localhost:8000 or https://kappi.example"
    )
