"""Calls of receivers over HTTP: which addresses are called, and what comes of an answer or of none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from kappi_identity.domain.webhook_targets import TargetRules
from kappi_identity.domain.webhooks import CallResult
from kappi_identity.errors import InvalidWebhookUrl
from kappi_identity.receivers import HttpReceivers

HERE = [ip_network("127.0.0.0/8")]
PUBLIC = "93.184.216.34"


def make(**changed: Any) -> HttpReceivers:
    rules = TargetRules(**{"plain_http": True, "ports": frozenset(), **changed})
    return HttpReceivers(rules, timeout=timedelta(seconds=5), at_once=2)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """Returns `await serve(handler)`, which serves POSTs on the loopback and returns the port."""
    runners = []

    async def serve(handler: Any) -> int:
        app = web.Application()
        app.router.add_post("/{path:.*}", handler)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    yield serve
    for runner in runners:
        await runner.cleanup()


async def post(receivers: HttpReceivers, url: str) -> CallResult:
    return await receivers.post(url, body=b"{}", headers={"webhook-id": "a"})


@pytest.mark.parametrize("status", [200, 204, 400, 410, 500])
async def test_an_answer_is_its_status(serve: Any, status: int) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path_qs, await request.read(), request.headers.copy()))
        return web.Response(status=status)

    port = await serve(answer)
    result = await post(make(networks=HERE), f"http://127.0.0.1:{port}/a%2Fb?c=%20d")
    assert result == CallResult(status=status)
    ((path, body, headers),) = asked
    assert (path, body, headers["webhook-id"]) == ("/a%2Fb?c=%20d", b"{}", "a")
    assert headers["user-agent"] == "Kappi-Webhooks"
    assert not {"cookie", "authorization", "traceparent"} & {name.lower() for name in headers}


async def test_a_redirect_is_not_followed(serve: Any) -> None:
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    port = await serve(answer)
    assert await post(make(networks=HERE), f"http://127.0.0.1:{port}/") == CallResult(status=307)
    assert paths == ["/"]


async def test_an_endless_answer_is_not_read(serve: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    port = await serve(answer)
    assert await post(make(networks=HERE), f"http://127.0.0.1:{port}/") == CallResult(status=200)


async def test_a_receiver_that_does_not_answer_is_left(serve: Any) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    port = await serve(answer)
    rules = TargetRules(plain_http=True, ports=frozenset(), networks=HERE)
    receivers = HttpReceivers(rules, timeout=timedelta(seconds=0.2), at_once=2)
    assert await post(receivers, f"http://127.0.0.1:{port}/") == CallResult(error="timeout")


async def test_a_closed_port_and_plain_http_on_a_tls_url_are_told_apart(serve: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        result = await post(make(networks=HERE), f"http://127.0.0.1:{port}/")
    assert result == CallResult(error="connection_failed")

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    port = await serve(answer)
    assert await post(make(networks=HERE), f"https://127.0.0.1:{port}/") == CallResult(error="tls_failed")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_not_called(serve: Any, host: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        raise AssertionError

    port = await serve(answer)
    url = f"http://{host}:{port}/"
    assert await post(make(), url) == CallResult(error="address_refused")
    with pytest.raises(InvalidWebhookUrl):
        await make().check(url)


async def test_a_name_that_moves_to_a_private_address_after_its_check_is_not_called(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: web.Request) -> web.Response:
        raise AssertionError

    port, found = await serve(answer), [PUBLIC]

    def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        assert host == "rebinding.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found[0], port))]

    monkeypatch.setattr("kappi_identity.receivers.socket.getaddrinfo", getaddrinfo)
    receivers, url = make(), f"http://rebinding.example:{port}/"
    await receivers.check(url)
    found[0] = "127.0.0.1"
    assert await post(receivers, url) == CallResult(error="address_refused")


async def test_the_connection_is_made_to_a_checked_address(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a name with several addresses only the allowed ones are tried, and it is looked up once."""
    hosts, looked_up = [], []

    async def answer(request: web.Request) -> web.Response:
        hosts.append(request.host)
        return web.Response()

    port = await serve(answer)

    def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        looked_up.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("10.0.0.1", "127.0.0.1")
        ]

    monkeypatch.setattr("kappi_identity.receivers.socket.getaddrinfo", getaddrinfo)
    assert await post(make(networks=HERE), f"http://two.example:{port}/") == CallResult(status=200)
    assert hosts == [f"two.example:{port}"]
    assert looked_up == ["two.example"]


async def test_the_socket_is_the_last_to_check(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that passed every other check, whatever the reason, is not called at a private address."""

    async def answer(_: web.Request) -> web.Response:
        raise AssertionError

    port = await serve(answer)
    monkeypatch.setattr(TargetRules, "check", lambda *_: "127.0.0.1")
    result = await post(make(), f"http://127.0.0.1:{port}/")
    assert result == CallResult(error="address_refused")


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://localhost/", "https://"),
        ("https://kappi.invalid/", "no public address"),
        ("https://localhost/", "no public address"),
        ("https://169.254.169.254/latest/meta-data/", "not a public one"),
        ("https://localhost:8443/", "port"),
    ],
)
async def test_the_reason_is_told(url: str, detail: str) -> None:
    receivers = HttpReceivers(TargetRules(), timeout=timedelta(seconds=5), at_once=2)
    with pytest.raises(InvalidWebhookUrl) as refused:
        await receivers.check(url)
    assert detail in str(refused.value.detail)
