"""Services that are down, slow, or send invalid answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.http.internal import CHALLENGE
from kappi_gateway.errors import UpstreamUnavailable
from kappi_testkit.gateway.fake_services import GALLERY_ID, FakeService, Reply, Seen, problem_reply, serving
from kappi_testkit.gateway.stack import Stack, StackFactory
from structlog.testing import capture_logs

GALLERY = f"/v1/galleries/{GALLERY_ID}"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A service that does not speak HTTP."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_service_that_is_down_is_a_503(make_stack: StackFactory) -> None:
    stack = await make_stack(galleries_url=f"http://127.0.0.1:{free_port()}")
    answer = await stack.ask("GET", GALLERY)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "upstream_unavailable", "1")
    assert answer.headers["x-request-id"]


async def test_other_services_still_work(make_stack: StackFactory) -> None:
    stack = await make_stack(media_url=f"http://127.0.0.1:{free_port()}")
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 503
    assert (await stack.ask("GET", GALLERY)).status == 200
    await stack.upstreams.check_any()


async def test_a_service_that_returns_is_used_again(make_stack: StackFactory) -> None:
    port = free_port()
    stack = await make_stack(galleries_url=f"http://127.0.0.1:{port}")
    assert (await stack.ask("GET", GALLERY)).status == 503
    async with await asyncio.start_server(_ok, "127.0.0.1", port):
        assert (await stack.ask("GET", GALLERY)).status == 200


async def _ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def test_a_service_that_is_silent_times_out(make_stack: StackFactory) -> None:
    stack = await make_stack(read_timeout=0.05)
    forever = asyncio.Event()

    async def silent(_: Seen) -> Reply:
        await forever.wait()
        raise AssertionError

    stack.galleries.answer = silent
    answer = await stack.ask("GET", GALLERY)
    assert (answer.status, answer.code) == (504, "upstream_timeout")


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def _half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    writer.write_eof()


async def _nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")


async def _injection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: \x01\r\n\r\n")


@pytest.mark.parametrize("talk", [_hang_up, _half_close, _nonsense])
async def test_answers_that_break_the_protocol_are_a_503(make_stack: StackFactory, talk: Talk) -> None:
    async with talking(talk) as url:
        stack = await make_stack(galleries_url=url)
        answer = await stack.ask("GET", GALLERY)
        assert (answer.status, answer.code) == (503, "upstream_unavailable")


async def test_control_characters_in_an_answer_are_not_passed_on(make_stack: StackFactory) -> None:
    async with talking(_injection) as url:
        stack = await make_stack(galleries_url=url)
        with pytest.raises(asyncio.IncompleteReadError):
            await stack.ask("GET", GALLERY)


async def test_a_posted_body_is_sent_once_even_when_the_answer_is_lost(make_stack: StackFactory) -> None:
    received = []

    async def take_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"{}"))

    async with talking(take_and_hang_up) as url:
        stack = await make_stack(galleries_url=url)
        assert (await stack.ask("POST", "/v1/galleries", body=b"{}")).status == 503
    assert len(received) == 1


async def test_problems_of_a_service_are_passed_on_unchanged(stack: Stack) -> None:
    stack.galleries.always(problem_reply(422, "validation_failed"))
    answer = await stack.ask("POST", "/v1/galleries", body=b"{}")
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_not_ready_when_no_service_can_be_reached(make_stack: StackFactory) -> None:
    nowhere = {f"{name}_url": f"http://127.0.0.1:{free_port()}" for name in ("galleries", "media", "store")}
    stack = await make_stack(**nowhere)
    with pytest.raises(UpstreamUnavailable):
        await stack.upstreams.check_any()


async def test_ready_as_soon_as_one_service_is_there(make_stack: StackFactory) -> None:
    async with serving(FakeService()) as port:
        nowhere = {f"{name}_url": f"http://127.0.0.1:{free_port()}" for name in ("galleries", "store")}
        stack = await make_stack(**nowhere, media_url=f"http://127.0.0.1:{port}")
        await stack.upstreams.check_any()


@pytest.mark.parametrize("service", ["galleries", "media"])
async def test_a_service_that_refuses_the_gateway_is_a_503(service: str, stack: Stack) -> None:
    """Only the operator can correct a wrong KAPPI_INTERNAL_SECRET, so a client's answer omits it."""
    refusal = problem_reply(401, "caller_unknown")
    challenge = (b"www-authenticate", CHALLENGE.encode())
    getattr(stack, service).always(replace(refusal, headers=(*refusal.headers, challenge)))
    with capture_logs() as logs:
        answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.code) == (503, "upstream_unavailable")
    assert {"event": "upstream.knows_us_not", "upstream": service} in [
        {name: line.get(name) for name in ("event", "upstream")} for line in logs
    ]
