"""Protects the panel: forms are accepted from its own pages only, and no page may frame it."""

from __future__ import annotations

from urllib.parse import urlsplit

from kappi_chassis.http.edge import App, Message, Receive, Scope, Send, send_problem
from kappi_chassis.problems import Forbidden

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The library passes data to its own scripts through inline scripts; nothing is loaded from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_PAGE_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_NO_STORE = (b"cache-control", b"no-store")


class OriginRefused(Forbidden):
    code, title = "origin_refused", "The panel takes forms from its own pages only"


class PanelGuard:
    """An ASGI application around the panel.

    public_url: the gateway's public address, used unless the gateway sends it (`X-Forwarded-Host`, `…-Proto`,
    `…-Prefix`). The panel builds its links from that address, and a request that changes anything must come
    from it.
    """

    def __init__(self, app: App, *, public_url: str) -> None:
        self._app = app
        parts = urlsplit(public_url)
        self._scheme, self._host, self._path = parts.scheme, parts.netloc, parts.path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        forwarded_host = headers.get(b"x-forwarded-host")
        host = forwarded_host or self._host
        scheme = headers.get(b"x-forwarded-proto", self._scheme) if forwarded_host else self._scheme
        if scope["method"] not in _SAFE_METHODS and headers.get(b"origin") != f"{scheme}://{host}":
            await send_problem(send, OriginRefused("Open the panel at its own address."))
            return
        others = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
        prefix = headers.get(b"x-forwarded-prefix", "") if forwarded_host else self._path
        seen = {
            **scope,
            "scheme": scheme,
            "headers": [*others, (b"host", host.encode("latin-1"))],
            "root_path": prefix,
            "path": prefix + scope["path"],
        }

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._added(scope)]
            await send(message)

        await self._app(seen, receive, send_guarded)

    def _added(self, scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
        is_asset = "/static/" in scope["path"]
        return _PAGE_HEADERS if is_asset else (*_PAGE_HEADERS, _NO_STORE)
