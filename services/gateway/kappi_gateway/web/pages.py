"""The web pages, built once at start.

Style and script are inlined, and the content security policy names their hashes, so nothing else can run. A
page is one request; its script fetches the content from the API like any client.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import blake2b, sha256
from importlib.resources import files

from kappi_gateway.http.request import Endpoint, Request
from kappi_gateway.http.router import Router
from kappi_gateway.http.static import Page, send_page

PAGES = {"/": "landing", "/g/{code}": "gallery", "/docs": "docs"}
MISSING = "missing"
_STYLED_AS = {MISSING: "landing"}
_STYLE, _SCRIPT = "/*style*/", "/*script*/"
_ROOT = 'href="/'


def add_pages(router: Router[Endpoint], *, media_origins: Sequence[str]) -> None:
    """Adds the pages to the router.

    media_origins: origins of the object store that serve pictures and films.
    """
    for template, name in PAGES.items():
        router.add("GET", template, _endpoint(build_page(name, media_origins)))


def build_page(name: str, media_origins: Sequence[str], *, path: str = "") -> Page:
    """Builds one page with its policy.

    path: of the public URL, for a page that is shown at any depth below it.
    """
    folder = files(__package__)
    style = (folder / "base.css").read_text("utf-8") + (
        folder / f"{_STYLED_AS.get(name, name)}.css"
    ).read_text("utf-8")
    script_file = folder / f"{name}.js"
    script = script_file.read_text("utf-8") if script_file.is_file() else ""
    html = (folder / f"{name}.html").read_text("utf-8").replace(_STYLE, style).replace(_SCRIPT, script)
    html = html.replace(_ROOT, f'href="{path}/')
    body = html.encode()
    return Page.of(
        body,
        content_type="text/html; charset=utf-8",
        etag=blake2b(body, digest_size=12).hexdigest(),
        extra=(
            (b"content-security-policy", _policy(style, script, media_origins).encode()),
            (b"referrer-policy", b"no-referrer"),  # the address of a gallery gives access to it
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"x-robots-tag", b"noindex" if name in {"gallery", MISSING} else b"all"),
        ),
    )


def _policy(style: str, script: str, media_origins: Sequence[str]) -> str:
    media = " ".join(("'self'", *media_origins))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            f"img-src {media} data:",
            f"media-src {media}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _endpoint(page: Page) -> Endpoint:
    async def answer(request: Request) -> None:
        await send_page(request, page)

    return answer
