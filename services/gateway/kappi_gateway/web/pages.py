"""The web pages, built once at start.

The page of a gallery and the home page are applications whose sources are in `services/gateway/web`. Their
style and a short script, which loads the application, are inlined; the content security policy names the
hashes of both and trusts what that script loads. The other pages are whole in one answer.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from importlib.resources import files

from kappi_chassis.problems import NotFound

from kappi_gateway.http.request import Endpoint, Request
from kappi_gateway.http.router import Router
from kappi_gateway.http.static import Headers, Page, send_page

APPLICATIONS = {"/": "home", "/account": "home", "/manage/{id}": "home"}
"""Templates of the pages that are applications and the same for all, and the name of their HTML and of their
folder of sources.
"""
GALLERY = "/g/{code}"
"""The template of the page of a gallery, whose HTML says something about it (`gallery_page`)."""
MISSING = "missing"
_STYLE, _SCRIPT = "/*style*/", "/*script*/"
_ROOT = 'href="/'
_LOADER = (
    "{const script=document.createElement('script');script.type='module';"
    "script.src=document.currentScript.dataset.entry;document.head.append(script)}"
)
_ASSET_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_UNINDEXED = {"gallery", MISSING}


@dataclass(frozen=True, slots=True)
class Application:
    """The HTML of an application, and the headers of the page."""

    html: str
    headers: Headers

    def page(self, html: str | None = None, *, cache: str = "no-cache") -> Page:
        """Builds the page. html: in place of that of the application."""
        body = (html or self.html).encode()
        return Page.of(
            body,
            content_type="text/html; charset=utf-8",
            etag=blake2b(body, digest_size=12).hexdigest(),
            cache=cache,
            extra=self.headers,
        )


def add_pages(router: Router[Endpoint], *, media_origins: Sequence[str]) -> None:
    """Adds the pages that are the same for all, and the files of all pages, to the router.

    media_origins: origins of the object store that serve pictures and films, and take uploads.
    """
    for template, name in APPLICATIONS.items():
        application = build_application(name, template, media_origins)
        router.add("GET", template, _endpoint(application.page()))
    router.add("GET", "/docs", _endpoint(build_page("docs", media_origins)))
    router.add("GET", "/assets/{name}", Assets())


def build_application(name: str, template: str, media_origins: Sequence[str]) -> Application:
    """Builds the HTML of an application. template: the path of the page, which decides its relative links."""
    folder = files(__package__)
    manifest = json.loads((folder / "assets" / "manifest.json").read_text("utf-8"))
    entry = manifest[f"src/{name}/main.ts"]
    style = "".join((folder / "assets" / sheet).read_text("utf-8") for sheet in _sheets(manifest, entry))
    root = "../" * (template.count("/") - 1)
    html = (folder / f"{name}.html").read_text("utf-8")
    for place, text in (
        ("$style", style),
        ("$boot", _LOADER),
        ("$entry", f"{root}assets/{entry['file']}"),
        ("$root", root or "./"),
    ):
        html = html.replace(place, text)
    policy = _policy(
        f"script-src '{_hash(_LOADER)}' 'strict-dynamic'",
        f"style-src 'self' '{_hash(style)}'",
        media_origins,
        # data: uploads answer their S3 library's own requests with documents of theirs (upload/sending.ts)
        " ".join(("connect-src 'self'", *media_origins, "data:")),
        "worker-src 'self'",
    )
    return Application(html, _headers(policy, is_indexed=name not in _UNINDEXED))


def build_page(name: str, media_origins: Sequence[str], *, path: str = "") -> Page:
    """Builds a page that is whole in one answer.

    path: of the public URL, for a page that is shown at any depth below it.
    """
    folder = files(__package__)
    style = (folder / "base.css").read_text("utf-8") + (folder / f"{name}.css").read_text("utf-8")
    script_file = folder / f"{name}.js"
    script = script_file.read_text("utf-8") if script_file.is_file() else ""
    html = (folder / f"{name}.html").read_text("utf-8").replace(_STYLE, style).replace(_SCRIPT, script)
    policy = _policy(
        f"script-src '{_hash(script)}'", f"style-src '{_hash(style)}'", media_origins, "connect-src 'self'"
    )
    html = html.replace(_ROOT, f'href="{path}/')
    return Application(html, _headers(policy, is_indexed=name not in _UNINDEXED)).page()


class Assets:
    """The endpoint of the applications' files. Their names change with their content, so they stay cached."""

    def __init__(self) -> None:
        folder = files(__package__) / "assets"
        self._files = {
            file.name.encode(): Page.of(
                file.read_bytes(),
                content_type=_ASSET_TYPES[suffix],
                etag=blake2b(file.read_bytes(), digest_size=12).hexdigest(),
                cache="public, max-age=31536000, immutable",
            )
            for file in folder.iterdir()
            if (suffix := file.name.rpartition(".")[2]) in _ASSET_TYPES
        }

    async def __call__(self, request: Request) -> None:
        """Raises NotFound."""
        found = self._files.get(request.parameters[0])
        if found is None:
            raise NotFound
        await send_page(request, found)


def _sheets(manifest: dict[str, dict[str, list[str]]], chunk: dict[str, list[str]]) -> list[str]:
    """Returns the style sheets of a chunk and of what it imports, each once."""
    found = [sheet for name in chunk.get("imports", ()) for sheet in _sheets(manifest, manifest[name])]
    return list(dict.fromkeys([*found, *chunk.get("css", ())]))


def _headers(policy: str, *, is_indexed: bool) -> Headers:
    return (
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),  # the address of a gallery gives access to it
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"x-robots-tag", b"all" if is_indexed else b"noindex"),
    )


def _policy(scripts: str, styles: str, media_origins: Sequence[str], *more: str) -> str:
    media = " ".join(("'self'", *media_origins))
    return "; ".join(
        (
            "default-src 'none'",
            scripts,
            styles,
            f"img-src {media} data: blob:",
            f"media-src {media} blob:",
            *more,
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
