"""The files of the pages that are applications."""

from __future__ import annotations

import gzip
import re
from urllib.parse import urljoin, urlsplit

import pytest
from kappi_testkit.gateway.fake_services import GALLERY_ID
from kappi_testkit.gateway.raw_http import exchange, request
from kappi_testkit.gateway.stack import Stack, StackFactory

PAGES = ["/", "/account", f"/manage/{GALLERY_ID}", "/g/abcd"]


async def entry(stack: Stack, page: str) -> str:
    """Returns the path of the page's script, as a browser finds it."""
    html = (await stack.ask("GET", page)).body.decode()
    found = re.search('data-entry="([^"]*)"', html)
    assert found is not None
    return urlsplit(urljoin(f"https://kappi.example{page}", str(found[1]))).path


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_finds_its_script_also_below_a_path(make_stack: StackFactory, page: str) -> None:
    stack = await make_stack(public_url="https://kappi.example/kappi")
    for prefix in ("", "/kappi"):
        path = await entry(stack, prefix + page)
        assert path.startswith(f"{prefix}/assets/")
        script = await stack.ask("GET", path)
        assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")


async def test_an_asset_stays_cached_and_is_compressed(stack: Stack) -> None:
    path = await entry(stack, "/")
    plain = await stack.ask("GET", path, "Accept-Encoding: identity")
    packed = await stack.ask("GET", path, "Accept-Encoding: gzip")
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    known = await stack.ask("GET", path, f"If-None-Match: {plain.headers['etag']}")
    assert (known.status, known.body) == (304, b"")
    assert (await stack.ask("HEAD", path)).body == b""


@pytest.mark.parametrize(
    "target",
    [
        "/assets/",
        "/assets/none.js",
        "/assets/manifest.json",
        "/assets/../pages.py",
        "/assets/..%2Fpages.py",
        "/assets/%2e%2e%2fpages.py",
        "/assets/../../etc/passwd",
        "/assets/a%00.js",
    ],
)
async def test_nothing_else_is_served(stack: Stack, target: str) -> None:
    answer = await exchange(stack.port, request("GET", target))
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
