"""The base URL that services receive for the client's address, and the gateway below a path."""

from __future__ import annotations

import msgspec
import pytest
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply
from kappi_testkit.gateway.raw_http import exchange, request
from kappi_testkit.gateway.stack import Stack, StackFactory

TOLD = "x-kappi-base-url"


async def received_base_url(stack: Stack, *lines: str, host: str = "kappi.example") -> str | None:
    """Returns the base URL that media received with a view."""
    asked = request("GET", "/v1/g/abcd", *lines).replace(b"kappi.example", host.encode())
    assert (await exchange(stack.port, asked)).status == 200
    return stack.media.seen[-1].headers.get(TOLD)


async def test_services_receive_the_address_that_a_client_is_connected_to(
    make_stack: StackFactory,
) -> None:
    stack = await make_stack(own_addresses=True, public_url="http://localhost:8000")
    own = f"127.0.0.1:{stack.port}"
    assert await received_base_url(stack, host=own) == f"http://{own}"
    for claimed in ("evil.example", "localhost:8000", f"127.0.0.2:{stack.port}"):
        assert await received_base_url(stack, f"X-Forwarded-Host: {own}", host=claimed) is None


async def test_a_client_cannot_set_the_base_url_itself(make_stack: StackFactory) -> None:
    stack = await make_stack()
    assert await received_base_url(stack, "X-Kappi-Base-Url: http://evil.example") is None


async def test_a_trusted_proxy_may_name_a_listed_host(make_stack: StackFactory) -> None:
    stack = await make_stack(
        public_url="https://kappi.example", hosts="photos.lan", trusted_proxies="127.0.0.0/8"
    )
    forwarded = ["X-Forwarded-Host: photos.lan", "X-Forwarded-Proto: https"]
    assert await received_base_url(stack, *forwarded) == "https://photos.lan"
    assert await received_base_url(stack, "X-Forwarded-Host: evil.example") is None


@pytest.mark.parametrize("path", ["/admin/login", "/kappi/admin/login"])
async def test_the_panel_always_receives_the_public_url(make_stack: StackFactory, path: str) -> None:
    stack = await make_stack(accounts=True, public_url="https://kappi.example/kappi")
    stack.identity.always(Reply(body=b""))
    asked = request("GET", path, "X-Forwarded-Host: evil.example")
    await exchange(stack.port, asked.replace(b"kappi.example", f"127.0.0.1:{stack.port}".encode()))
    seen = stack.identity.seen[-1]
    assert seen.raw_path == b"/admin/login"
    names = ("x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix")
    assert [seen.headers[name] for name in names] == ["https", "kappi.example", "/kappi"]


async def test_everything_is_below_the_path_also_if_a_proxy_removes_it(
    make_stack: StackFactory,
) -> None:
    stack = await make_stack(public_url="https://kappi.example/kappi")
    for prefix in ("", "/kappi"):
        for page in ("/", "/docs", "/g/abcd", "/account", f"/manage/{GALLERY_ID}"):
            assert (await stack.ask("GET", prefix + page)).status == 200
        await stack.ask("GET", f"{prefix}/v1/g/abcd")
        assert stack.media.seen[-1].raw_path == b"/v1/g/abcd"
        await stack.ask("GET", f"{prefix}/store/galleries/a/b?signature=c")
        assert stack.store.seen[-1].raw_path == b"/store/galleries/a/b"
    moved = await stack.ask("GET", "/kappi")
    assert (moved.status, moved.headers["location"]) == (308, "/kappi/")
    assert (await stack.ask("GET", "/kappis")).status == 404


@pytest.mark.parametrize(
    ("public_url", "servers"),
    [("https://kappi.example", [{"url": "/"}]), ("https://kappi.example/kappi", [{"url": "/kappi"}])],
)
async def test_the_openapi_document_names_the_path(
    make_stack: StackFactory, public_url: str, servers: object
) -> None:
    stack = await make_stack(public_url=public_url)
    for service in (stack.galleries, stack.media):
        service.always(Reply(body=msgspec.json.encode({"openapi": "3.1.0", "paths": {}})))
    document = msgspec.json.decode((await stack.ask("GET", "/openapi.json")).body)
    assert document["servers"] == servers
