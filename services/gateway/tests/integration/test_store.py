"""/store/… on its way to the local object store's process."""

from __future__ import annotations

import asyncio

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_gateway.testing import DEADLINE_S, Reply, Seen, exchange, read_answer, request
from kappi_gateway.testing_stack import Stack, StackFactory

SIGNED = "/store/galleries/a/b/original?expires=1&disposition=a%20%22b%22%3Bc&sig=%2B%2f"


async def test_path_and_query_go_on_byte_for_byte(stack: Stack) -> None:
    await stack.ask("GET", SIGNED, "Range: bytes=0-9", 'If-None-Match: "x"')
    seen = stack.store.seen[-1]
    assert f"{seen.raw_path.decode()}?{seen.query.decode()}" == SIGNED
    assert (seen.headers["range"], seen.headers["if-none-match"]) == ("bytes=0-9", '"x"')


@pytest.mark.parametrize("target", ["/store/a%2Fb//c/../d", "/store/%E4%BD%A0", "/store/a+b~c"])
async def test_paths_are_not_tidied_up(stack: Stack, target: str) -> None:
    await stack.ask("GET", target)
    assert stack.store.seen[-1].raw_path == target.encode()


async def test_an_upload_goes_through_with_what_it_is_bound_to(stack: Stack) -> None:
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


async def test_the_limit_of_json_does_not_count_here(make_stack: StackFactory) -> None:
    stack = await make_stack(json_body_limit_bytes=10)
    assert (await stack.ask("PUT", SIGNED, body=b"x" * 1000)).status == 200


async def test_partial_answers_come_back(stack: Stack) -> None:
    headers = ((b"content-range", b"bytes 0-2/9"), (b"access-control-allow-origin", b"https://one.example"))
    stack.store.always(Reply(status=206, body=b"abc", headers=headers))
    answer = await stack.ask("GET", SIGNED)
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, b"abc", "bytes 0-2/9")
    assert answer.headers["access-control-allow-origin"] == "https://one.example"


async def test_head_stays_head(stack: Stack) -> None:
    await stack.ask("HEAD", SIGNED)
    assert stack.store.seen[-1].method == "HEAD"


async def test_preflights_are_the_stores(stack: Stack) -> None:
    await stack.ask("OPTIONS", SIGNED, "Origin: https://a.example", "Access-Control-Request-Method: PUT")
    seen = stack.store.seen[-1]
    assert (seen.method, seen.headers["access-control-request-method"]) == ("OPTIONS", "PUT")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_nothing_else_passes(stack: Stack, method: str) -> None:
    answer = await stack.ask(method, SIGNED)
    assert (answer.status, answer.code, stack.store.seen) == (405, "method_not_allowed", [])


async def test_without_a_store_there_is_no_such_path(make_stack: StackFactory) -> None:
    stack = await make_stack(store_url=None)
    assert (await stack.ask("GET", SIGNED)).status == 404


async def test_transfers_do_not_crowd_out_the_api(make_stack: StackFactory) -> None:
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


async def test_a_client_that_leaves_in_the_middle_of_an_upload(stack: Stack) -> None:
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


async def test_a_large_upload_streams(stack: Stack) -> None:
    """The store gets the first bytes while the last are not sent yet."""
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
