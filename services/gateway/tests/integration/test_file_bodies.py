"""Files in request bodies may be larger than JSON and are passed on piece by piece."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply
from kappi_testkit.gateway.raw_http import DEADLINE_S, exchange, read_answer, request
from kappi_testkit.gateway.stack import Stack, StackFactory

MEDIA = f"/v1/galleries/{GALLERY_ID}/media"
KEY = "X-Gallery-Key: k"


async def test_a_file_may_be_larger_than_json(make_stack: StackFactory) -> None:
    stack = await make_stack(json_body_limit_bytes=1_000)
    body = b"x" * 3_000_000
    answer = await stack.ask("POST", MEDIA, KEY, "Content-Type: multipart/form-data; boundary=b", body=body)
    assert answer.status == 200
    seen = stack.media.seen[-1]
    assert (seen.body, seen.headers["content-length"]) == (body, str(len(body)))
    assert seen.headers["content-type"] == "multipart/form-data; boundary=b"
    assert "x-kappi-grant" in seen.headers


@pytest.mark.parametrize("framing", ["Content-Length: 5001", "Transfer-Encoding: chunked"])
async def test_a_file_over_its_limit_is_refused_with_its_own_code(
    make_stack: StackFactory, framing: str
) -> None:
    stack = await make_stack(file_body_limit_bytes=5_000)
    raw = request("POST", MEDIA, KEY, framing)
    if "chunked" in framing:
        raw += (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 2 + b"0\r\n\r\n"
    answer = await exchange(stack.port, raw)
    assert (answer.status, answer.code) == (413, "file_too_large")


async def test_the_picture_of_a_post_has_a_limit_of_its_own(make_stack: StackFactory) -> None:
    stack = await make_stack(file_body_limit_bytes=5_000, picture_body_limit_bytes=50_000)
    body = b"x" * 50_000
    assert (await stack.ask("POST", "/v1/posts", body=body)).status == 200
    assert stack.galleries.seen[-1].body == body
    refused = await exchange(stack.port, request("POST", "/v1/posts", "Content-Length: 50001"))
    assert (refused.status, refused.code) == (413, "file_too_large")


async def test_concurrent_pictures_of_an_account_are_limited(make_stack: StackFactory) -> None:
    """The limit counts the account's pictures from all addresses; another account is not affected."""
    stack = await make_stack(accounts=True, pictures_per_account=1, trusted_proxies="127.0.0.0/8")
    stack.galleries.always(Reply(status=201, body=b"{}"))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    slow = request("POST", "/v1/posts", stack.bearer(), "X-Forwarded-For: 1.1.1.1", "Content-Length: 200000")
    writer.write(slow + b"x" * 100_000)

    async def refused() -> None:
        answer = await stack.ask("POST", "/v1/posts", stack.bearer(), "X-Forwarded-For: 1.1.1.2", body=b"x")
        assert (answer.status, answer.code) == (429, "too_many_files")

    await eventually(refused)
    other = stack.bearer(sub=str(UUID(int=7)))
    assert (await stack.ask("POST", "/v1/posts", other, body=b"x")).status == 201
    writer.write(b"x" * 100_000)
    assert (await read_answer(reader)).status == 201
    writer.close()
    assert (await stack.ask("POST", "/v1/posts", stack.bearer(), body=b"x")).status == 201


async def test_a_file_is_passed_on_while_it_is_received(stack: Stack) -> None:
    arrived = asyncio.Event()

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if size >= 100_000:
                arrived.set()
            if not message.get("more_body", False):
                break
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    stack.media.takes_over = reads
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("POST", MEDIA, KEY, "Content-Length: 400000") + b"x" * 200_000)
    async with asyncio.timeout(DEADLINE_S):
        await arrived.wait()
        writer.write(b"x" * 200_000)
        answer = await read_answer(reader)
    assert (answer.status, answer.body) == (201, b"400000")
    writer.close()


async def test_a_client_that_sends_single_bytes_is_disconnected(make_stack: StackFactory) -> None:
    stack = await make_stack(client_silence=timedelta(seconds=0.3))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("POST", MEDIA, KEY, "Content-Length: 400000") + b"x")

    async def trickle() -> None:
        while True:
            await asyncio.sleep(0.05)
            writer.write(b"x")

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(DEADLINE_S):
        answer = await read_answer(reader)
    trickling.cancel()
    assert (answer.status, answer.code) == (408, "request_timeout")
    writer.close()


async def test_a_slow_steady_client_may_take_longer_than_the_timeout(make_stack: StackFactory) -> None:
    stack = await make_stack(client_silence=timedelta(seconds=0.3))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("POST", MEDIA, KEY, "Content-Length: 40000"))
    for _ in range(20):
        await asyncio.sleep(0.05)
        writer.write(b"x" * 2_000)
    async with asyncio.timeout(DEADLINE_S):
        answer = await read_answer(reader)
    assert (answer.status, len(stack.media.seen[-1].body)) == (200, 40_000)
    writer.close()


async def test_concurrent_file_posts_of_an_address_are_limited(make_stack: StackFactory) -> None:
    stack = await make_stack(files_per_address=2)
    held, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def holds(scope: Scope, receive: Receive, send: Send) -> None:
        held.release()
        await go_on.wait()
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    stack.media.takes_over = holds
    raw = request("POST", MEDIA, KEY, "Content-Length: 1") + b"x"
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group, AsyncExitStack() as cleanup:
        cleanup.callback(go_on.set)
        posts = [group.create_task(exchange(stack.port, raw)) for _ in range(2)]
        for _ in posts:
            await held.acquire()
        refused = await exchange(stack.port, raw)
        assert (refused.status, refused.code) == (429, "too_many_files")
        assert refused.headers["retry-after"] == "5"
    assert [post.result().status for post in posts] == [201, 201]
    assert (await exchange(stack.port, raw)).status == 201


async def test_concurrent_slow_requests_of_an_address_are_limited(make_stack: StackFactory) -> None:
    """Each such request holds one of the places that all requests share."""
    stack = await make_stack(slow_per_address=2)
    raw = request("PATCH", f"/v1/galleries/{GALLERY_ID}", KEY, "Content-Length: 100")
    async with AsyncExitStack() as cleanup, asyncio.timeout(DEADLINE_S):
        readers = []
        for beginning in (b"", b"{", b"{"):
            reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
            cleanup.callback(writer.close)
            writer.write(raw + beginning)
            readers.append(asyncio.create_task(read_answer(reader)))
        (refused,), waiting = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        assert (refused.result().status, refused.result().code) == (429, "too_many_slow_requests")
        whole = request("PATCH", f"/v1/galleries/{GALLERY_ID}", KEY, "Content-Length: 2") + b"{}"
        assert (await exchange(stack.port, whole)).status == 200
        for task in waiting:
            task.cancel()
