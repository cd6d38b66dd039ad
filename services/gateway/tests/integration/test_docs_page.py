"""The reference page in a real browser."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kappi_gateway.openapi.own import OWN_OPERATIONS
from kappi_testkit.accessibility import findings_of_axe
from kappi_testkit.gateway.fake_services import Reply
from kappi_testkit.gateway.stack import Stack

from .chromium import Page, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")

CALLS = 3 + len(OWN_OPERATIONS["paths"])  # one of each service, and the gateway's own
BEARER = {"Token": {"type": "http", "scheme": "bearer"}}


def document(method: str, path: str, **other: Any) -> Reply:
    operation = {"summary": "A call", "responses": {"200": {"description": "ok"}}, **other}
    components = {"securitySchemes": BEARER}
    return Reply(
        body=msgspec.json.encode(
            {"openapi": "3.1.0", "paths": {path: {method: operation}}, "components": components}
        )
    )


async def test_each_operation_shows_its_parameters(page: Page, with_accounts: Stack) -> None:
    with_accounts.identity.always(document("get", "/v1/me", security=[{"Token": []}]))
    with_accounts.galleries.always(document("get", "/v1/galleries", security=[{"Token": []}]))
    with_accounts.media.always(document("get", "/v1/media/{id}"))
    await page.open(f"http://127.0.0.1:{with_accounts.port}/docs")
    await page.shows("document.querySelectorAll('article').length", CALLS)
    assert await page.run("[...document.querySelectorAll('#contents h2')].map((one) => one.textContent)") == [
        "Accounts",
        "Galleries",
        "Media",
    ]
    shown = "document.getElementById('{}').textContent"
    assert "CredentialsAuthorization: Bearer" in await page.run(shown.format("get-v1-me"))
    assert (
        "X-Gallery-Key, or X-Contributor-Key, or X-Gallery-Code, or X-Gallery-Code and X-Gallery-Password, "
        "or Authorization: Bearer" in await page.run(shown.format("get-v1-media-id-"))
    )
    assert "OAuth2" not in await page.run("document.body.innerText")
    assert await findings_of_axe(page.run) == []


FAILING = {"404": {"description": "`gallery_not_found`: There is no such gallery; `other`: Another"}}
BODY = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "title": {"type": "string", "examples": ["Ada's trip"]},
                    "sizes": {"type": "array", "items": {"type": "integer", "minimum": 16}},
                },
            }
        }
    }
}


async def test_each_operation_has_examples(page: Page, with_accounts: Stack) -> None:
    answers = {"200": {"description": "ok", "content": {"application/json": {"example": {"id": "01a2"}}}}}
    with_accounts.galleries.always(document("post", "/v1/galleries", requestBody=BODY, responses=answers))
    with_accounts.media.always(document("get", "/v1/media/{id}"))
    with_accounts.identity.always(document("get", "/v1/me"))
    await page.open(f"http://127.0.0.1:{with_accounts.port}/docs")
    await page.shows("document.querySelectorAll('article').length", CALLS)
    shown = await page.run(
        "[...document.querySelectorAll('#post-v1-galleries pre')].map((one) => one.textContent)"
    )
    assert shown[0] == '{\n  "title": "Ada\'s trip",\n  "sizes": [\n    16\n  ]\n}'
    assert shown[1] == (
        'curl -sS -X POST "$KAPPI/v1/galleries" \\\n'
        "  -H 'content-type: application/json' \\\n"
        """  -d '{"title":"Ada'\\''s trip","sizes":[16]}'"""
    )
    assert '"id": "01a2"' in shown[2]
    request = await page.run("document.querySelector('#get-v1-media-id- pre').textContent")
    assert request == 'curl -sS "$KAPPI/v1/media/$ID" \\\n  -H "X-Gallery-Key: $GALLERY_KEY"'


async def test_operations_can_be_searched_and_codes_are_listed(page: Page, with_accounts: Stack) -> None:
    with_accounts.galleries.always(document("get", "/v1/galleries", responses=FAILING))
    with_accounts.media.always(document("get", "/v1/media/{id}", description="A *picture*."))
    with_accounts.identity.always(document("get", "/v1/me"))
    await page.open(f"http://127.0.0.1:{with_accounts.port}/docs")
    await page.shows("document.querySelectorAll('article').length", CALLS)
    codes = "[...document.querySelectorAll('#codes tr')].map((row) => row.id)"
    assert {"code-gallery_not_found", "code-other"} <= set(await page.run(codes))
    users = "[...document.querySelectorAll('#code-other a')].map((link) => link.getAttribute('href'))"
    assert await page.run(users) == ["#get-v1-galleries"]

    await page.run(
        "document.getElementById('search').value = 'Picture media';"
        "document.getElementById('search').dispatchEvent(new Event('input'))"
    )
    visible = "[...document.querySelectorAll('article:not([hidden])')].map((one) => one.id)"
    assert await page.run(visible) == ["get-v1-media-id-"]
    assert await page.run("document.getElementById('found').textContent") == "1 call"
    assert await page.run("document.getElementById('upload').textContent.includes('x-gallery-code')")
