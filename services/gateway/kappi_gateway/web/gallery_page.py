"""The page of a gallery: its application, with what browsers without scripts and link previews read.

It asks for the gallery as a view does, so guesses are throttled and a private gallery does not exist. It is
no view: nothing is counted, and nothing of the gallery's content is in it but the address of its cover.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import Final

from kappi_chassis.problems import Problem, TooManyRequests

from kappi_gateway.auth.credentials import Credentials, ExistingCode
from kappi_gateway.errors import GalleryNotFound, UpstreamTimeout, UpstreamUnavailable
from kappi_gateway.http.base_urls import BaseUrls
from kappi_gateway.http.request import Request
from kappi_gateway.http.static import Page, send_page
from kappi_gateway.web.pages import Application

_PLACES = re.compile(r"\$(title|meta|content)\b")
_KEPT_PAGES = 256
_ROOT = "../"
_SITE = "Kappi"
_UNNAMED: Final = "Shared gallery"
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Shown:
    """The words of a page. title: the gallery's, which may be any text. facts: of the gallery, in a line.

    link: the gallery's; None if there is none to show. is_open: whether the code alone opens it.
    """

    title: str
    facts: str
    link: str | None = None
    code: str = ""
    is_open: bool = False


_MISSING = Shown(
    "There is no such gallery",
    "The link may be mistyped, or its gallery has expired, is private, or was deleted.",
)
_THROTTLED = Shown("Too many attempts", "Too many codes that do not exist were tried. Try again later.")
_AWAY = Shown(_UNNAMED, "The gallery cannot be reached at the moment. Try again soon.")


class GalleryPage:
    """The endpoint of the page. It always has the application, whatever the status says."""

    def __init__(self, application: Application, *, credentials: Credentials, base_urls: BaseUrls) -> None:
        self._application = application
        # The parts of the page, between the names of the places that are filled in.
        self._parts = _PLACES.split(application.html)
        self._credentials = credentials
        self._base_urls = base_urls
        self._built = lru_cache(maxsize=_KEPT_PAGES)(self._build)

    async def __call__(self, request: Request) -> None:
        problem: Problem | None = None
        try:
            found = await self._credentials.existing_code(request)
            shown = self._shown(found, self._base_urls.of_link(request.scope))
        except GalleryNotFound as missing:
            shown, problem = _MISSING, missing
        except TooManyRequests as throttled:
            shown, problem = _THROTTLED, throttled
        except (UpstreamUnavailable, UpstreamTimeout) as away:
            shown, problem = _AWAY, away
        await _send(request, self._built(shown), problem)

    def _shown(self, found: ExistingCode, base_url: str) -> Shown:
        """Raises GalleryNotFound for a gallery that shows nothing to a new viewer."""
        link = f"{base_url}/g/{found.code}"
        if found.grant is None:
            return Shown(_UNNAMED, "A password opens it.", link, found.code)
        summary = found.grant.summary
        if summary is None:
            return Shown(_UNNAMED, "", link, found.code, is_open=True)
        if summary.used_up:
            raise GalleryNotFound
        facts = _facts(summary.item_count, summary.size_bytes, found.grant.gallery_expires_at)
        return Shown(summary.title or _UNNAMED, facts, link, found.code, is_open=True)

    def _build(self, shown: Shown) -> Page:
        texts = {
            "title": escape(f"{shown.title} · {_SITE}"),
            "meta": "\n".join(_tags(shown)),
            "content": _content(shown),
        }
        html = "".join(
            texts[part] if is_place else part
            for part, is_place in zip(self._parts, _alternating(len(self._parts)), strict=True)
        )
        return self._application.page(html, cache="private, no-cache")


def _alternating(count: int) -> Iterable[bool]:
    return (number % 2 == 1 for number in range(count))


def _facts(item_count: int, size_bytes: int, expires_at: datetime | None) -> str:
    facts = []
    if item_count:
        facts.append(f"{item_count:,} {'photograph or film' if item_count == 1 else 'photographs and films'}")
        facts.append(_size(size_bytes))
    if expires_at is not None:
        facts.append(f"until {expires_at:%-d %B %Y, %H:%M} UTC")
    return ", ".join(facts)


def _size(size_bytes: int) -> str:
    amount, unit = float(size_bytes), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}" if amount < 1000 else f"{amount:.0f} {_UNITS[unit]}"


def _tags(shown: Shown) -> Iterable[str]:
    """Yields what link previews read. A page without a gallery has no preview."""
    if shown.link is None:
        return
    description = shown.facts or "Photographs and films to look at and to download."
    yield f'<meta name="description" content="{escape(description)}">'
    properties = {
        "og:type": "website",
        "og:site_name": _SITE,
        "og:title": shown.title,
        "og:description": description,
        "og:url": shown.link,
    }
    if shown.is_open:
        base_url = shown.link.removesuffix(f"/g/{shown.code}")
        properties["og:image"] = f"{base_url}/v1/g/{shown.code}/cover"
    for name, content in properties.items():
        yield f'<meta property="{name}" content="{escape(content)}">'
    card = "summary_large_image" if shown.is_open else "summary"
    yield f'<meta name="twitter:card" content="{card}">'


def _content(shown: Shown) -> str:
    lines = [f'<h1 dir="auto">{escape(shown.title)}</h1>']
    if shown.facts:
        lines.append(f"<p>{escape(shown.facts)}</p>")
    if shown.is_open:
        path = f"{_ROOT}v1/g/{shown.code}"
        lines.append(f'<p><a class="button" href="{path}/archive" download>Download all</a></p>')
        lines.append(f'<p><a href="{path}/cover">See the cover</a> · <a href="{path}/qr.svg">QR code</a></p>')
    lines.append("<noscript><p>This page needs scripts to show the pictures.</p></noscript>")
    return "<main>\n" + "\n".join(lines) + "\n</main>"


async def _send(request: Request, page: Page, problem: Problem | None) -> None:
    if problem is None:
        await send_page(request, page)
        return
    kept = tuple(
        (name.lower().encode(), value.encode())
        for name, value in problem.headers.items()
        if name.lower() == "retry-after"
    )
    await send_page(request, replace(page, headers=(*page.headers, *kept)), status=problem.status)
