"""The link of a gallery as a QR code."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree

import pytest
from kappi_gateway.web.qr_codes import KINDS
from kappi_testkit.gateway.fake_services import grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack, StackFactory

PUBLIC = "https://photos.example"


@pytest.fixture
async def stack(make_stack: StackFactory) -> Stack:
    return await make_stack(public_url=PUBLIC, guess_burst=2)


def protect(stack: Stack) -> None:
    stack.galleries.always(problem_reply(401, "gallery_password_required"))


def forget(stack: Stack) -> None:
    stack.galleries.always(problem_reply(404, "gallery_not_found"))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_link_is_a_picture_that_may_be_cached(stack: Stack, kind: str) -> None:
    answer = await stack.ask("GET", f"/v1/g/ABCD/qr.{kind}")
    assert answer.status == 200
    assert answer.headers["content-type"] == KINDS[kind]
    assert answer.headers["cache-control"] == "public, max-age=3600"
    again = await stack.ask("GET", f"/v1/g/abcd/qr.{kind}", f"If-None-Match: {answer.headers['etag']}")
    assert (again.status, again.body) == (304, b"")
    other = await stack.ask("GET", f"/v1/g/efgh/qr.{kind}")
    assert other.headers["etag"] != answer.headers["etag"]


async def test_an_svg_scales_and_a_png_is_large_enough_to_print(stack: Stack) -> None:
    svg = ElementTree.fromstring((await stack.ask("GET", "/v1/g/abcd/qr.svg")).body)
    assert svg.get("viewBox") is not None
    assert svg.get("width") is None
    png = (await stack.ask("GET", "/v1/g/abcd/qr.png")).body
    assert png.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">I", png[16:20])[0] >= 300


async def test_it_shows_the_link_that_people_pass_on(make_stack: StackFactory) -> None:
    async def drawn(**settings: object) -> str:
        stack = await make_stack(**settings)
        return (await stack.ask("GET", "/v1/g/abcd/qr.svg")).headers["etag"]

    public = await drawn(public_url=PUBLIC)
    assert await drawn(public_url=PUBLIC, hosts=("kappi.example",)) == public
    local = "http://localhost:8000"
    named = await drawn(public_url=local, hosts=("kappi.example",))
    assert len({public, named, await drawn(public_url=local)}) == 3
    assert await drawn(public_url="http://kappi.example") == named


@pytest.mark.parametrize("password", [(), ("X-Gallery-Password: wrong",)])
async def test_a_protected_gallery_has_a_link_that_only_its_client_caches(
    stack: Stack, password: tuple[str, ...]
) -> None:
    protect(stack)
    answer = await stack.ask("GET", "/v1/g/abcd/qr.svg", *password)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "private, max-age=3600"
    assert all("password" not in asked.json() for asked in stack.grants_asked()), "tries are not spent"


async def test_unknown_codes_cost_guesses(stack: Stack) -> None:
    forget(stack)
    for code in ("aaaa", "%21"):
        missing = await stack.ask("GET", f"/v1/g/{code}/qr.png")
        assert (missing.status, missing.code) == (404, "gallery_not_found")
    refused = await stack.ask("GET", "/v1/g/bbbb/qr.svg")
    assert (refused.status, refused.code) == (429, "too_many_guesses")
    stack.galleries.always(grant_reply())
    assert (await stack.ask("GET", "/v1/g/bbbb")).code == "too_many_guesses", "they share the guesses"


async def test_unknown_parameters_are_refused(stack: Stack) -> None:
    refused = await stack.ask("GET", "/v1/g/abcd/qr.svg?scale=4")
    assert (refused.status, refused.code) == (422, "unknown_field")


async def test_without_galleries_it_is_unavailable(stack: Stack) -> None:
    stack.galleries.always(problem_reply(503, "busy"))
    answer = await stack.ask("GET", "/v1/g/abcd/qr.svg")
    assert (answer.status, answer.code) == (503, "upstream_unavailable")
