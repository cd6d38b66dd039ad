from __future__ import annotations

import pytest
from kappi_chassis import base_url
from kappi_chassis.http import Edge
from kappi_chassis.http.edge import Message, Receive, Scope, Send

CAME_BY = "http://192.0.2.7:8000"


@pytest.mark.parametrize(
    ("public_url", "told", "own", "passed_on"),
    [
        ("https://kappi.example/", None, "https://kappi.example", "https://kappi.example"),
        ("https://kappi.example/", CAME_BY, CAME_BY, "https://kappi.example"),
        ("http://localhost:8000", None, "http://localhost:8000", "http://localhost:8000"),
        ("http://localhost:8000", CAME_BY, CAME_BY, CAME_BY),
        ("http://[::1]:8000", CAME_BY, CAME_BY, CAME_BY),
    ],
)
def test_links_begin_with_an_address_that_other_machines_can_reach(
    public_url: str, told: str | None, own: str, passed_on: str
) -> None:
    token = base_url.told.set(told)
    try:
        assert base_url.base_url(public_url) == own
        assert base_url.link_base_url(public_url) == passed_on
    finally:
        base_url.told.reset(token)


async def test_the_base_url_is_set_for_one_request_only() -> None:
    seen: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(base_url.told.get())
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    edge = Edge(app, max_in_flight=1)
    for headers in ([(b"x-kappi-base-url", CAME_BY.encode())], []):
        await edge({"type": "http", "method": "GET", "headers": headers}, receive, send)
    assert seen == [CAME_BY, None]
