"""Requests to /store/… on their way to the process of the local object store."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import AsyncExitStack, closing

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import Reply, Seen
from kappi_testkit.gateway.raw_http import DEADLINE_S, RawAnswer, exchange, read_answer, request
from kappi_testkit.gateway.stack import Stack, StackFactory

SIGNED = "/store/galleries/a/b/original?expires=1&disposition=a%20%22b%22%3Bc&sig=%2B%2f"


def s3_code(answer: RawAnswer) -> str:
    """Returns the error code as an S3 client reads it."""
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["cache-control"] == "private"
    found = re.search(rb"<Code>(.*)</Code><Message>.+</Message></Error>$", answer.body)
    assert found is not None, answer.body
    return found[1].decode()


async def sent_of_upload(port: int, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begins an upload and sends its first part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("PUT", SIGNED, "Content-Length: 10000000") + body)
    return reader, writer


async def swallow(scope: Scope, receive: Receive, send: Send) -> None:
    """A store that reads the whole body, then answers."""
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_path_and_query_are_passed_on_byte_for_byte(stack: Stack) -> None:
    await stack.ask("GET", SIGNED, "Range: bytes=0-9", 'If-None-Match: "x"')
    seen = stack.store.seen[-1]
    assert f"{seen.raw_path.decode()}?{seen.query.decode()}" == SIGNED
    assert (seen.headers["range"], seen.headers["if-none-match"]) == ("bytes=0-9", '"x"')


@pytest.mark.parametrize("target", ["/store/a%2Fb//c/../d", "/store/%E4%BD%A0", "/store/a+b~c"])
async def test_paths_are_not_normalised(stack: Stack, target: str) -> None:
    await stack.ask("GET", target)
    assert stack.store.seen[-1].raw_path == target.encode()


async def test_an_upload_is_passed_on_with_its_bound_headers(stack: Stack) -> None:
    body = b"\x89PNG" * 100_000
    answer = await stack.ask(
        "PUT", SIGNED, "Content-Type: image/png", "X-Amz-Checksum-Sha256: abc=", "If-None-Match: *", body=body
    )
    seen = stack.store.seen[-1]
    assert (answer.status, seen.method, seen.body == body) == (200, "PUT", True)
    sent = {name: seen.headers[name] for name in ("content-type", "x-amz-checksum-sha256", "content-length")}
    assert sent == {"content-type": "image/png", "x-amz-checksum-sha256": "abc=", "content-length": "400000"}


async def test_an_empty_upload_has_a_length(stack: Stack) -> None:
    await exchange(stack.port, request("PUT", SIGNED, "Content-Length: 0"))
    assert stack.store.seen[-1].headers["content-length"] == "0"


async def test_the_size_limit_of_json_does_not_apply(make_stack: StackFactory) -> None:
    stack = await make_stack(json_body_limit_bytes=10)
    assert (await stack.ask("PUT", SIGNED, body=b"x" * 1000)).status == 200


async def test_partial_answers_are_passed_on(stack: Stack) -> None:
    headers = ((b"content-range", b"bytes 0-2/9"), (b"access-control-allow-origin", b"https://one.example"))
    stack.store.always(Reply(status=206, body=b"abc", headers=headers))
    answer = await stack.ask("GET", SIGNED)
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, b"abc", "bytes 0-2/9")
    assert answer.headers["access-control-allow-origin"] == "https://one.example"


async def test_head_is_sent_as_head(stack: Stack) -> None:
    await stack.ask("HEAD", SIGNED)
    assert stack.store.seen[-1].method == "HEAD"


async def test_preflights_are_answered_by_the_store(stack: Stack) -> None:
    await stack.ask("OPTIONS", SIGNED, "Origin: https://a.example", "Access-Control-Request-Method: PUT")
    seen = stack.store.seen[-1]
    assert (seen.method, seen.headers["access-control-request-method"]) == ("OPTIONS", "PUT")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_other_methods_are_refused(stack: Stack, method: str) -> None:
    answer = await stack.ask(method, SIGNED)
    assert (answer.status, s3_code(answer), stack.store.seen) == (405, "MethodNotAllowed", [])
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, PUT"


async def test_without_a_store_its_paths_are_not_found(make_stack: StackFactory) -> None:
    stack = await make_stack(store_url=None)
    assert (await stack.ask("GET", SIGNED)).status == 404


async def test_transfers_use_no_slots_of_the_api(make_stack: StackFactory) -> None:
    stack = await make_stack(max_in_flight=1)
    begun, released = asyncio.Event(), asyncio.Event()

    async def slowly(_: Seen) -> Reply:
        begun.set()
        await released.wait()
        return Reply()

    stack.store.answer = slowly
    transfer = asyncio.create_task(stack.ask("GET", SIGNED))
    await begun.wait()
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 200
    released.set()
    assert (await transfer).status == 200


async def test_a_client_that_disconnects_during_an_upload_ends_it(stack: Stack) -> None:
    left, begun = asyncio.Event(), asyncio.Event()

    async def take(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    stack.store.takes_over = take
    _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("PUT", SIGNED, "Content-Length: 10000000") + b"x" * 100_000)
    await begun.wait()
    writer.transport.abort()
    async with asyncio.timeout(DEADLINE_S):
        await left.wait()


async def test_a_large_upload_is_streamed(stack: Stack) -> None:
    """The store gets the first bytes before the last are sent."""
    first_bytes = asyncio.Event()
    total = 0

    async def take(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal total
        more = True
        while more:
            message = await receive()
            total += len(message.get("body", b""))
            more = message.get("more_body", False)
            first_bytes.set()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    stack.store.takes_over = take
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("PUT", SIGNED, "Content-Length: 4000000") + b"x" * 2_000_000)
    async with asyncio.timeout(DEADLINE_S):
        await first_bytes.wait()
        writer.write(b"x" * 2_000_000)
        assert (await read_answer(reader)).status == 200
    assert total == 4_000_000
    writer.close()


async def test_uploads_and_downloads_of_an_address_are_limited(make_stack: StackFactory) -> None:
    stack = await make_stack(transfers_per_address=2)
    stack.store.takes_over = swallow
    async with AsyncExitStack() as cleanup, asyncio.timeout(DEADLINE_S):
        uploads = [await sent_of_upload(stack.port, b"x" * 1000) for _ in range(2)]
        for _, writer in uploads:
            cleanup.callback(writer.close)

        async def third_is_refused() -> None:
            answer = await stack.ask("PUT", SIGNED, body=b"x")
            assert (answer.status, s3_code(answer)) == (429, "SlowDown")
            assert (answer.headers["retry-after"], answer.headers["access-control-allow-origin"]) == (
                "5",
                "*",
            )

        await eventually(third_is_refused)
        assert (await stack.ask("GET", SIGNED)).status == 200, "downloads have places of their own"
        await third_is_refused()
        uploads[0][1].transport.abort()

        async def there_is_room() -> None:
            assert (await stack.ask("PUT", SIGNED, body=b"x")).status == 200

        await eventually(there_is_room)


async def test_clients_that_do_not_read_use_only_places_of_their_address(make_stack: StackFactory) -> None:
    stack = await make_stack(transfers_per_address=2)
    large = bytes(64 << 20)
    stack.store.always(Reply(body=large))
    with (
        closing(not_reading(stack.port)),
        closing(not_reading(stack.port)),
    ):

        async def third_is_refused() -> None:
            answer = await stack.ask("HEAD", SIGNED)
            assert (answer.status, answer.headers["retry-after"]) == (429, "5")

        await eventually(third_is_refused)
        with closing(
            socket.create_connection(("127.0.0.1", stack.port), source_address=("127.0.0.2", 0))
        ) as other:
            other.sendall(request("HEAD", SIGNED, "Connection: close"))
            assert (await asyncio.to_thread(other.recv, 100)).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_does_not_read_is_disconnected(make_stack: StackFactory) -> None:
    stack = await make_stack(transfers_per_address=1, client_silence=1.0)
    stack.store.always(Reply(body=bytes(64 << 20)))
    with closing(not_reading(stack.port)):

        async def others_get(status: int) -> None:
            assert (await stack.ask("HEAD", SIGNED)).status == status

        await eventually(lambda: others_get(429))
        await eventually(lambda: others_get(200))


async def test_a_very_slow_upload_is_disconnected(make_stack: StackFactory) -> None:
    """The client's pauses are short, but it would use one of few places for days."""
    stack = await make_stack(client_silence=1.0)
    stack.store.takes_over = swallow
    reader, writer = await sent_of_upload(stack.port, b"x" * 1000)
    answering = asyncio.create_task(read_answer(reader))
    async with asyncio.timeout(DEADLINE_S):
        while not answering.done():
            writer.write(b"x" * 100)
            await asyncio.sleep(0.1)
        answer = await answering
    assert (answer.status, s3_code(answer)) == (408, "RequestTimeout")
    writer.close()


async def test_an_unreachable_store_is_reported_as_an_s3_error(make_stack: StackFactory) -> None:
    stack = await make_stack(store_url="http://127.0.0.1:9")
    answer = await stack.ask("GET", SIGNED)
    assert (answer.status, s3_code(answer), answer.headers["retry-after"]) == (503, "ServiceUnavailable", "1")


async def test_too_many_transfers_are_refused_with_an_s3_error(make_stack: StackFactory) -> None:
    stack = await make_stack(max_transfers=1)
    stack.store.takes_over = swallow
    _, writer = await sent_of_upload(stack.port, b"x" * 1000)

    async def second_is_refused() -> None:
        answer = await stack.ask("GET", SIGNED)
        assert (answer.status, s3_code(answer), answer.headers["retry-after"]) == (503, "SlowDown", "1")

    await eventually(second_is_refused)
    writer.close()


async def test_answers_of_the_store_are_passed_on_unchanged(stack: Stack) -> None:
    refusal = Reply(status=409, body=b"<Error/>", headers=((b"content-type", b"application/xml"),))
    stack.store.always(refusal)
    answer = await stack.ask("PUT", SIGNED, body=b"x")
    assert (answer.status, answer.body) == (409, b"<Error/>")


def not_reading(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request("GET", SIGNED))
    return connection
