"""Serves the reset page with a policy that allows only what the page needs."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kappi_identity.mailer import RESET_PAGE

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def mount_reset_page(app: FastAPI) -> None:
    """Mount the page, which is read once, at wiring. It is not part of the API and its description."""
    html = files(__package__).joinpath("reset-password.html").read_text()
    headers = {
        "Content-Security-Policy": _policy(html),
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }

    async def page(_: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    app.router.routes.append(Route(RESET_PAGE, page, methods=["GET"]))


def _policy(html: str) -> str:
    """Returns the policy, which names the page's own script and style by their hashes (CSP level 2)."""
    hashes = {
        tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag, text in _INLINE.findall(html)
    }
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
