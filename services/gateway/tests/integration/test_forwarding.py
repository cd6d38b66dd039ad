"""The parts of a request that reach a service, and the parts of its answer that reach the client."""

from __future__ import annotations

import pytest
from kappi_chassis.http.edge import App, Receive, Scope, Send
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen
from kappi_testkit.gateway.raw_http import exchange, request
from kappi_testkit.gateway.stack import Stack

GALLERY = f"/v1/galleries/{GALLERY_ID}"
GRANT = "x-kappi-grant"


async def test_request_and_answer_are_passed_on_unchanged(stack: Stack) -> None:
    stack.galleries.always(
        Reply(
            status=200, body=b'{"a":1}', headers=((b"content-type", b"application/json"), (b"etag", b'"7"'))
        )
    )
    answer = await stack.ask(
        "PATCH",
        f"{GALLERY}?a=%20b&c=1%2B1",
        "X-Gallery-Key: k1",
        "Content-Type: application/json",
        body=b"{}",
    )
    seen = stack.galleries.seen[-1]
    assert (seen.method, seen.raw_path, seen.query, seen.body) == (
        "PATCH",
        GALLERY.encode(),
        b"a=%20b&c=1%2B1",
        b"{}",
    )
    assert seen.headers["x-gallery-key"] == "k1"
    assert seen.headers["content-length"] == "2"
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b'{"a":1}', '"7"')


async def test_a_request_id_is_sent_to_the_service_and_returned(stack: Stack) -> None:
    answer = await stack.ask("GET", GALLERY, "X-Request-Id: abcdefgh12345678")
    assert answer.headers["x-request-id"] == "abcdefgh12345678"
    assert stack.galleries.seen[-1].headers["x-request-id"] == "abcdefgh12345678"


async def test_the_trace_is_continued(stack: Stack) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    await stack.ask("GET", GALLERY, f"Traceparent: 00-{trace}-00f067aa0ba902b7-01")
    assert stack.galleries.seen[-1].headers["traceparent"].split("-")[1] == trace


async def test_headers_that_only_the_gateway_may_set_are_removed(stack: Stack) -> None:
    await stack.ask(
        "GET",
        "/v1/g/abcd",
        "X-Kappi-Grant: forged",
        "X-Kappi-Anything: forged",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=6.6.6.6",
        "Cookie: a=b",
        "Authorization: Bearer t",
        "X-Gallery-Password: secret",
    )
    headers = stack.media.seen[-1].headers
    assert headers[GRANT] == "grant-1"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    leaked = {
        "x-kappi-anything",
        "x-forwarded-host",
        "forwarded",
        "cookie",
        "authorization",
        "x-gallery-password",
    }
    assert leaked.isdisjoint(headers)


@pytest.mark.parametrize("nominated", ["x-kappi-grant", "close, X-Kappi-Grant", "content-length", "host"])
async def test_a_connection_header_cannot_remove_headers_of_the_gateway(stack: Stack, nominated: str) -> None:
    await stack.ask("GET", "/v1/g/abcd", f"Connection: {nominated}")
    assert stack.media.seen[-1].headers[GRANT] == "grant-1"


async def test_headers_named_by_connection_are_not_passed_on(stack: Stack) -> None:
    await stack.ask("GET", GALLERY, "Connection: accept-language", "Accept-Language: de", "TE: trailers")
    headers = stack.galleries.seen[-1].headers
    assert {"accept-language", "te"}.isdisjoint(headers)


async def test_hop_by_hop_and_internal_headers_of_an_answer_are_not_passed_on(stack: Stack) -> None:
    stack.media.always(
        Reply(
            body=b"x",
            headers=(
                (b"keep-alive", b"timeout=1"),
                (b"server", b"secret/1"),
                (b"X-Kappi-Grant", b"g"),
                (b"x-a", b"1"),
            ),
        )
    )
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert {"keep-alive", "server", GRANT}.isdisjoint(answer.headers)
    assert answer.headers["x-a"] == "1"


async def test_head_is_a_get_without_its_body(stack: Stack) -> None:
    stack.media.always(Reply(body=b"x" * 5000))
    answer = await stack.ask("HEAD", "/v1/g/abcd")
    assert stack.media.seen[-1].method == "GET"
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "5000")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_are_passed_on(stack: Stack, status: int) -> None:
    stack.media.always(Reply(status=status, body=b"", headers=((b"etag", b'"1"'),)))
    answer = await stack.ask("GET", "/v1/g/abcd", 'If-None-Match: "1"')
    assert stack.media.seen[-1].headers["if-none-match"] == '"1"'
    assert (answer.status, answer.headers["etag"]) == (status, '"1"')
    assert "transfer-encoding" not in answer.headers


async def test_a_304_keeps_its_content_length(stack: Stack) -> None:
    async def not_modified(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"5000"), (b"etag", b'"1"')]
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 5000})

    stack.media.takes_over = _as_head(not_modified)
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.body) == (304, b"")


def _as_head(app: App) -> App:
    """uvicorn refuses to send a 304's Content-Length without a body, except to HEAD."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        scope["method"] = "HEAD"
        await app(scope, receive, send)

    return wrapped


async def test_redirects_are_passed_on_and_not_followed(stack: Stack) -> None:
    stack.media.always(
        Reply(status=302, body=b"", headers=((b"location", b"https://store.example/x?sig=1"),))
    )
    answer = await stack.ask("GET", f"/v1/media/{GALLERY_ID}/download?redirect=true", "X-Gallery-Key: k")
    assert (answer.status, answer.headers["location"]) == (302, "https://store.example/x?sig=1")


async def test_compressed_answers_are_passed_on_unchanged(stack: Stack) -> None:
    body = b"\x28\xb5\x2f\xfd not really zstd"
    stack.media.always(Reply(body=body, headers=((b"content-encoding", b"zstd"),)))
    answer = await stack.ask("GET", "/v1/g/abcd", "Accept-Encoding: zstd")
    assert stack.media.seen[-1].headers["accept-encoding"] == "zstd"
    assert (answer.body, answer.headers["content-encoding"]) == (body, "zstd")


async def test_no_accept_encoding_is_added(stack: Stack) -> None:
    await stack.ask("GET", "/v1/g/abcd")
    assert {"accept-encoding", "accept", "user-agent"}.isdisjoint(stack.media.seen[-1].headers)


async def test_chunked_uploads_arrive_whole(stack: Stack) -> None:
    await exchange(
        stack.port,
        request("POST", "/v1/galleries", "Transfer-Encoding: chunked", "Content-Type: application/json")
        + b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n',
    )
    assert stack.galleries.seen[-1].body == b'{"a":1}'


async def test_a_body_with_length_and_chunked_encoding_is_refused(stack: Stack) -> None:
    answer = await exchange(
        stack.port,
        b"POST /v1/galleries HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /internal/grants/view HTTP/1.1\r\n\r\n",
    )
    assert answer.status == 400
    assert stack.galleries.seen == []


async def test_the_body_of_a_get_is_not_passed_on(stack: Stack) -> None:
    await stack.ask("GET", GALLERY, body=b"GET /internal/x HTTP/1.1\r\n\r\n")
    seen = stack.galleries.seen[-1]
    assert (seen.body, "content-length" in seen.headers) == (b"", False)
    assert (await stack.ask("GET", GALLERY)).status == 200


async def test_non_ascii_headers_are_passed_on(stack: Stack) -> None:
    raw = f"GET {GALLERY} HTTP/1.1\r\nHost: x\r\nUser-Agent: ".encode() + "Käppi".encode() + b"\r\n\r\n"

    async def agent(seen: Seen) -> Reply:
        return Reply(body=seen.headers["user-agent"].encode())

    stack.galleries.answer = agent
    assert (await exchange(stack.port, raw)).body.decode() == "Käppi"


async def test_unreadable_headers_are_refused(stack: Stack) -> None:
    raw = f"GET {GALLERY} HTTP/1.1\r\nHost: x\r\nUser-Agent: ".encode() + b"\xff\xfe\r\n\r\n"
    assert (await exchange(stack.port, raw)).code == "bad_header"


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n X-Kappi-Grant: forged", b"\x00"])
async def test_headers_cannot_be_injected(stack: Stack, ending: bytes) -> None:
    raw = (
        f"GET {GALLERY} HTTP/1.1\r\nHost: x\r\nUser-Agent: a".encode() + ending + b"X-Kappi-Grant: f\r\n\r\n"
    )
    await exchange(stack.port, raw)
    assert all(GRANT not in seen.headers for seen in stack.galleries.seen)


async def test_large_headers_are_passed_on(stack: Stack) -> None:
    answer = await stack.ask("GET", GALLERY, f"User-Agent: {'a' * 6000}")
    assert answer.status == 200
    assert len(stack.galleries.seen[-1].headers["user-agent"]) == 6000
