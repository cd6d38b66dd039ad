"""The reference page in a real browser."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kappi_gateway.testing import Reply
from kappi_gateway.testing_stack import Stack

from .chromium import Page, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")

BEARER = {"Token": {"type": "http", "scheme": "bearer"}}


def document(method: str, path: str, **other: Any) -> Reply:
    operation = {"summary": "A call", "responses": {"200": {"description": "ok"}}, **other}
    components = {"securitySchemes": BEARER}
    return Reply(
        body=msgspec.json.encode(
            {"openapi": "3.1.0", "paths": {path: {method: operation}}, "components": components}
        )
    )


async def test_each_call_says_what_it_takes(page: Page, with_accounts: Stack) -> None:
    with_accounts.identity.always(document("get", "/v1/me", security=[{"Token": []}]))
    with_accounts.galleries.always(document("get", "/v1/galleries", security=[{"Token": []}]))
    with_accounts.media.always(document("get", "/v1/media/{id}"))
    await page.open(f"http://127.0.0.1:{with_accounts.port}/docs")
    await page.shows("document.querySelectorAll('article').length", 3)
    assert await page.run("[...document.querySelectorAll('#contents h2')].map((one) => one.textContent)") == [
        "Accounts",
        "Galleries",
        "Media",
    ]
    shown = "document.getElementById('{}').textContent"
    assert "CredentialsAuthorization: Bearer" in await page.run(shown.format("get-v1-me"))
    assert (
        "X-Gallery-Key, or X-Gallery-Code, or X-Gallery-Code and X-Gallery-Password, or Authorization: Bearer"
        in await page.run(shown.format("get-v1-media-id-"))
    )
    assert "OAuth2" not in await page.run("document.body.innerText")
