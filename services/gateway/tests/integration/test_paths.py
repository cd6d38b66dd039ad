"""Only listed routes exist, however a path is written."""

from __future__ import annotations

import pytest
from kappi_testkit.gateway.fake_services import GALLERY_ID
from kappi_testkit.gateway.raw_http import exchange, request
from kappi_testkit.gateway.stack import Stack


@pytest.mark.parametrize(
    "target",
    [
        "/internal/grants/view",
        "/v1/../internal/grants/view",
        "/v1/galleries/../../internal/grants/view",
        "/v1/galleries/..",
        "/v1/galleries/.",
        "/v1/galleries/%2e%2e",
        "/v1/galleries/..%2F..%2Finternal%2Fjwks.json",
        "/v1/galleries/a%2Fuploads",
        "/v1/galleries/a%00b",
        "/v1/galleries/a;b",
        "/v1//galleries",
        "//v1/galleries",
        "/v1/galleries/",
        f"/v1/galleries//{GALLERY_ID}",
        f"/v1/%67alleries/{GALLERY_ID}",
        f"/V1/galleries/{GALLERY_ID}",
        f"/v1/galleries/{GALLERY_ID}/",
        "/v1/galleries/%C3%A4",
        "/v1/g/",
        "/v1",
        "/readyz",
        "/metrics",
        "/nowhere",
    ],
)
async def test_other_paths_are_not_found(stack: Stack, target: str) -> None:
    answer = await stack.ask("GET", target, "X-Gallery-Key: k")
    assert (answer.status in (404, 405), answer.code in ("not_found", "method_not_allowed")) == (True, True)
    assert answer.headers["content-type"] == "application/problem+json"
    assert stack.galleries.seen == stack.media.seen == []


async def test_only_the_path_of_an_absolute_target_counts(stack: Stack) -> None:
    answer = await stack.ask("GET", "http://127.0.0.1:1/internal/jwks.json")
    assert answer.status == 404


async def test_raw_bytes_in_a_path_do_not_crash(stack: Stack) -> None:
    raw = "GET /v1/galleries/ä HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert (await exchange(stack.port, raw)).status in (400, 404)
    assert stack.galleries.seen == []


async def test_raw_bytes_in_a_query_are_refused(stack: Stack) -> None:
    raw = f"GET /v1/galleries/{GALLERY_ID}?q=ä HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert (await exchange(stack.port, raw)).status == 400
    assert stack.galleries.seen == []


async def test_a_refused_method_lists_the_allowed_ones(stack: Stack) -> None:
    answer = await stack.ask("PUT", f"/v1/galleries/{GALLERY_ID}")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


@pytest.mark.parametrize("written", ["ABcd", "%20abcd%20", "abcd%0A", "%61bcd"])
async def test_codes_are_trimmed_and_lower_case(stack: Stack, written: str) -> None:
    await stack.ask("GET", f"/v1/g/{written}")
    assert stack.grants_asked()[-1].json() == {"code": "abcd"}
    assert stack.media.seen[-1].raw_path == b"/v1/g/abcd"


@pytest.mark.parametrize(
    "written", ["ab%2Fcd", "%2e%2e", "ab-cd", "%FF", "a" * 65, "%20", "ab%00", "a?b"[:1] + "%3F"]
)
async def test_an_impossible_code_causes_no_call(stack: Stack, written: str) -> None:
    answer = await stack.ask("GET", f"/v1/g/{written}")
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    assert stack.galleries.seen == stack.media.seen == []


async def test_pipelined_requests_are_answered_in_order(stack: Stack) -> None:
    one = request("GET", f"/v1/galleries/{GALLERY_ID}") + request("GET", "/nowhere", "Connection: close")
    assert (await exchange(stack.port, one)).status == 200
