"""The link of a gallery as a QR code, drawn once and then answered from memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import segno
from kappi_chassis.http.unknown_fields import refuse_unknown_parameters

from kappi_gateway.auth.credentials import Credentials
from kappi_gateway.http.base_urls import BaseUrls
from kappi_gateway.http.request import Request
from kappi_gateway.http.static import Page, send_page

KINDS: Mapping[str, str] = {"svg": "image/svg+xml", "png": "image/png"}
"""The forms of a QR code, with their content types."""
CACHED_S = 3600
"""Seconds for which a client may keep the picture. It shows no more than the link that it was asked by."""
_WIDTH_OF_MODULE_PX = 12
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "svg": {"omitsize": True, "xmldecl": False, "nl": False, "svgclass": None, "lineclass": None},
    "png": {"scale": _WIDTH_OF_MODULE_PX},
}


class QrCode:
    """The endpoint of one form. A code costs a guess when it is unknown, as in the look-up of a gallery."""

    def __init__(self, kind: str, *, credentials: Credentials, base_urls: BaseUrls) -> None:
        self._kind = kind
        self._credentials = credentials
        self._base_urls = base_urls

    async def __call__(self, request: Request) -> None:
        """Raises UnknownField, and as `Credentials.existing_code` does."""
        refuse_unknown_parameters(request.scope["query_string"], known=())
        found = await self._credentials.existing_code(request)
        link = f"{self._base_urls.of_link(request.scope)}/g/{found.code}"
        whose = "private" if found.is_protected else "public"
        # Drawing takes some milliseconds of processor time, too long for the event loop.
        await send_page(request, await asyncio.to_thread(_picture, link, self._kind, whose))


@lru_cache(maxsize=256)
def _picture(link: str, kind: str, whose: str) -> Page:
    drawn = io.BytesIO()
    # A light background, because a code on a dark page could not be read.
    segno.make_qr(link, error="m").save(drawn, kind=kind, light="#fff", **_OPTIONS[kind])
    body = drawn.getvalue()
    return Page.of(
        body,
        content_type=KINDS[kind],
        etag=blake2b(body, digest_size=12).hexdigest(),
        cache=f"{whose}, max-age={CACHED_S}",
        extra=((b"content-security-policy", b"default-src 'none'"), (b"x-robots-tag", b"noindex")),
    )
