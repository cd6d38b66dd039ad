"""Webhooks of a running stack: events of an account reach receivers on this machine."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from aiohttp import web
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import create_gallery, sign_up
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
PICTURE = File("a.png", "image/png", encode(quadrants(60, 40), "PNG"))
EVENTS = ["media.ready", "media.deleted", "gallery.deleted", "comment.added"]
DEADLINE_S = 60.0


@dataclass(slots=True)
class Receiver:
    """A receiver of webhooks. statuses: of the next answers; 204 after them."""

    url: str
    statuses: list[int] = field(default_factory=list)
    calls: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def events(self, secret: str) -> list[Any]:
        """Returns the events of all calls, whose signatures it verifies."""
        verifier = standardwebhooks.Webhook(secret)
        for headers, body in self.calls:
            verifier.verify(body, dict(headers))
        return [json.loads(body) for _, body in self.calls]


@pytest.fixture
async def receive() -> AsyncIterator[Callable[..., Any]]:
    """Returns `await receive()`: a running receiver."""
    runners = []

    async def receive(*statuses: int) -> Receiver:
        receiver = Receiver("", list(statuses))

        async def handle(request: web.Request) -> web.Response:
            headers = {name.lower(): value for name, value in request.headers.items()}
            receiver.calls.append((headers, await request.read()))
            return web.Response(status=receiver.statuses.pop(0) if receiver.statuses else 204)

        app = web.Application()
        app.router.add_post("/kappi", handle)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/kappi"
        return receiver

    yield receive
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def hook(stack: StackUnderTest, phone: Phone) -> Callable[..., Any]:
    """Returns `await hook(person, url)`: a new webhook, with its secret."""

    async def hook(person: Any, url: str, events: list[str] = EVENTS) -> Any:
        body = {"url": url, "events": events}
        made = (await phone.ask("POST", "/v1/webhooks", json=body, headers=person.key)).ok(201)
        stack.secrets.add(made["secret"])
        return made

    return hook


@pytest.mark.timeout(300)
async def test_each_event_of_an_account_reaches_its_receiver(
    stack: StackUnderTest, phone: Phone, receive: Any, hook: Any
) -> None:
    owner, guest = await sign_up(stack, phone, "owner"), await sign_up(stack, phone, "guest")
    receiver = await receive()
    made = await hook(owner, receiver.url)
    gallery = await create_gallery(phone, owner, title="Lisbon")
    (kept, dropped) = await phone.upload(gallery, PICTURE, File("b.png", "image/png", PICTURE.body))
    await phone.until_ready(gallery, 2)
    (await phone.ask("DELETE", f"/v1/media/{dropped}", headers=owner.key)).ok(204)
    posted = {"media_id": kept, "caption": "Lisbon"}
    post = (await phone.ask("POST", "/v1/posts", json=posted, headers=owner.key)).ok(201)["id"]
    path, comment = f"/v1/posts/{post}/comments", {"text": "Words that no event has"}
    (await phone.ask("POST", path, json=comment, headers=guest.key)).ok(201)
    (await phone.ask("DELETE", f"/v1/galleries/{gallery.id}", headers=owner.key)).ok(204)

    async def told() -> list[Any]:
        found: list[Any] = receiver.events(made["secret"])
        assert sorted(event["type"] for event in found) == sorted([*EVENTS, "media.ready"])
        return found

    events = await eventually(told, DEADLINE_S)
    data = {event["type"]: event["data"] for event in events}
    ready = {event["data"]["media_id"] for event in events if event["type"] == "media.ready"}
    assert ready == {kept, dropped}
    assert data["media.deleted"]["media_id"] == dropped
    assert data["gallery.deleted"]["gallery_id"] == gallery.id
    assert data["comment.added"]["post_id"] == post
    assert not any(b"Words" in body or guest.id.encode() in body for _, body in receiver.calls)

    deliveries = f"/v1/webhooks/{made['id']}/deliveries"

    async def recorded() -> list[Any]:
        items = (await phone.ask("GET", deliveries, headers=owner.key)).ok()["items"]
        assert [item["status"] for item in items] == ["delivered"] * 5
        return list(items)

    sent = await eventually(recorded, DEADLINE_S)
    again = f"{deliveries}/{sent[0]['id']}/resend"
    assert (await phone.ask("POST", again, headers=owner.key)).ok(202)["status"] == "pending"

    async def resent() -> None:
        ids = [headers["webhook-id"] for headers, _ in receiver.calls]
        assert ids.count(sent[0]["id"]) == 2

    await eventually(resent, DEADLINE_S)


@pytest.mark.timeout(300)
async def test_a_receiver_that_fails_first_gets_its_delivery_and_a_dead_one_delays_no_other(
    stack: StackUnderTest, phone: Phone, receive: Any, hook: Any
) -> None:
    owner = await sign_up(stack, phone, "owner")
    healthy, troubled, gone = await receive(), await receive(500), await receive(410)
    made = {each.url: await hook(owner, each.url, ["media.ready"]) for each in (healthy, troubled, gone)}

    ended = asyncio.Event()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        await hook(owner, f"http://127.0.0.1:{port}/", ["media.ready"])
        gallery = await create_gallery(phone, owner, title="Lisbon")
        await phone.upload(gallery, PICTURE, File("b.png", "image/png", PICTURE.body))

        async def all_but_the_silent() -> None:
            assert len(healthy.events(made[healthy.url]["secret"])) == 2
            assert len(troubled.events(made[troubled.url]["secret"])) == 3

        await eventually(all_but_the_silent, DEADLINE_S)
        ended.set()

    async def disabled() -> None:
        path = f"/v1/webhooks/{made[gone.url]['id']}"
        shown = (await phone.ask("GET", path, headers=owner.key)).ok()
        assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
        refused = (await phone.ask("GET", f"{path}/deliveries", headers=owner.key)).ok()["items"]
        assert {item["status"] for item in refused} == {"failed"}
        again = f"{path}/deliveries/{refused[0]['id']}/resend"
        (await phone.ask("POST", again, headers=owner.key)).problem(409, "webhook_disabled")

    await eventually(disabled, DEADLINE_S)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "ftp://127.0.0.1/"],
)
async def test_a_url_of_a_private_network_is_refused(stack: StackUnderTest, phone: Phone, url: str) -> None:
    owner = await sign_up(stack, phone, "owner")
    body = {"url": url, "events": ["media.ready"]}
    refused = await phone.ask("POST", "/v1/webhooks", json=body, headers=owner.key)
    refused.problem(422, "invalid_webhook_url")
    missing = await phone.ask("POST", "/v1/webhooks", json=body)
    missing.problem(401, "credentials_missing")


@pytest.fixture
def documented(stack: StackUnderTest) -> Iterator[tuple[Any, str]]:
    """Yields the running receiver of the page for receivers, and its URL."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec"), names)
    receiver = type("Quiet", (names["Receiver"],), {"log_message": lambda *_: None, "seen": {}})
    server = HTTPServer(("127.0.0.1", 0), receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiver, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.timeout(300)
async def test_the_documented_receiver_takes_what_is_sent_and_nothing_else(
    stack: StackUnderTest, phone: Phone, hook: Any, documented: Any
) -> None:
    receiver, url = documented
    owner = await sign_up(stack, phone, "owner")
    made = await hook(owner, url, ["media.ready"])
    receiver.secret = "whsec_" + "A" * 44
    gallery = await create_gallery(phone, owner, title="Lisbon")
    (media_id,) = await phone.upload(gallery, PICTURE)
    deliveries = f"/v1/webhooks/{made['id']}/deliveries"

    async def refused() -> None:
        (item,) = (await phone.ask("GET", deliveries, headers=owner.key)).ok()["items"] or [{}]
        assert item.get("last_status") == 400

    await eventually(refused, DEADLINE_S)
    assert receiver.seen == {}
    receiver.secret = made["secret"]

    async def taken() -> None:
        ((_, event),) = receiver.seen.items() or [("", {"data": {}})]
        assert event["data"].get("media_id") == media_id

    await eventually(taken, DEADLINE_S)
