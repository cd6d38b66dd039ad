"""The measured scenarios. Each prepares its world, then yields rows for the table."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlencode

import msgspec

from benchmarks.load import MakeRequest, Outcome, closed_loop, counted, fixed_rate, request
from benchmarks.row import Row
from benchmarks.thumbnails import thumbnails
from benchmarks.world import Endpoint, Gallery, World, batch_of, camera_picture, small_pictures

CONNECTIONS = (1, 16, 64)
VIEW_ITEMS = 100
LOGIN_ACCOUNTS = 40  # so many that no account is throttled
JSON = {"content-type": "application/json"}


def row(scenario: str, via: str, load: str, outcome: Outcome, *, expected: int, note: str = "") -> Row:
    good = outcome.statuses[expected]
    total = sum(outcome.statuses.values())
    others = {status: count for status, count in outcome.statuses.items() if status != expected}
    return Row(
        scenario=scenario,
        via=via,
        load=load,
        per_second=round(outcome.per_second * good / total if total else 0.0, 1),
        p50_ms=round(outcome.percentile_ms(50), 2),
        p99_ms=round(outcome.percentile_ms(99), 2),
        failed=total - good,
        note=note or (f"statuses {others}" if others else ""),
    )


async def _swept(
    scenario: str, via: str, endpoint: Endpoint, make: MakeRequest, *, expected: int, seconds: float
) -> AsyncIterator[Row]:
    for connections in CONNECTIONS:
        outcome = await closed_loop(
            endpoint.host, endpoint.port, make, connections=connections, seconds=seconds
        )
        yield row(scenario, via, f"{connections} conn", outcome, expected=expected)
    paced = await fixed_rate(endpoint.host, endpoint.port, make, per_second=100, seconds=max(seconds, 3))
    yield row(scenario, via, "100/s", paced, expected=expected)


async def gallery_view(world: World, seconds: float) -> AsyncIterator[Row]:
    """Measures `GET /v1/g/{code}` of 100 items with a cached body, as a phone requests it."""
    gallery = await world.filled(small_pictures(VIEW_ITEMS))
    for encoding in ("zstd", "identity"):
        headers = {"accept-encoding": encoding}
        path = f"/v1/g/{gallery.code}"
        gateway, media = world.gateway, world.services["media"]
        ask = request("GET", path, host=gateway.authority, headers=headers)
        async for found in _swept(
            f"gallery view ({encoding})", "gateway", gateway, _same(ask), expected=200, seconds=seconds
        ):
            yield found
        direct = request(
            "GET", path, host=media.authority, headers={**headers, **await world.grant(gallery, manage=False)}
        )
        async for found in _swept(
            f"gallery view ({encoding})", "media", media, _same(direct), expected=200, seconds=seconds
        ):
            yield found


async def gallery_view_uncached(world: World, seconds: float) -> AsyncIterator[Row]:
    """Measures the same without the page cache: rows are read, URLs signed and JSON written each time."""
    gallery = await world.filled(small_pictures(VIEW_ITEMS))
    headers = {"accept-encoding": "identity", **await world.grant(gallery, manage=False)}
    media = world.services["media"]
    direct = request("GET", f"/v1/g/{gallery.code}", host=media.authority, headers=headers)
    async for found in _swept(
        "gallery view uncached", "media", media, _same(direct), expected=200, seconds=seconds
    ):
        yield found


async def creation(world: World, seconds: float) -> AsyncIterator[Row]:
    """Measures `POST /v1/galleries`."""
    body = msgspec.json.encode({"title": "Benchmark"})
    for via, endpoint in (("gateway", world.gateway), ("galleries", world.services["galleries"])):
        headers = JSON if via == "gateway" else {**JSON, **world.introduction}
        ask = request("POST", "/v1/galleries", host=endpoint.authority, headers=headers, body=body)
        async for found in _swept("create gallery", via, endpoint, _same(ask), expected=201, seconds=seconds):
            yield found


async def signing(world: World, seconds: float) -> AsyncIterator[Row]:
    """Measures `POST /v1/galleries/{id}/uploads` of 100 files."""
    body = msgspec.json.encode(batch_of([4_000_000 + number for number in range(100)]))
    gallery = await world.new_gallery()
    path = f"/v1/galleries/{gallery.id}/uploads"
    for via, endpoint in (("gateway", world.gateway), ("media", world.services["media"])):
        credential = (
            {"x-gallery-key": gallery.access_key}
            if via == "gateway"
            else await world.grant(gallery, manage=True)
        )
        ask = request("POST", path, host=endpoint.authority, headers={**JSON, **credential}, body=body)
        async for found in _swept(
            "sign batch of 100", via, endpoint, _same(ask), expected=201, seconds=seconds
        ):
            yield found


async def completion(world: World, _: float) -> AsyncIterator[Row]:
    """Measures `POST /v1/uploads/{id}/complete`, once per upload, while the worker processes them."""
    for connections in CONNECTIONS:
        count = 200 if connections == 1 else 600
        gallery = await world.new_gallery()
        ids = await world.uploaded(gallery, small_pictures(count, seed=connections))
        asks = [_complete(world.gateway, gallery, upload_id) for upload_id in ids]
        outcome = await counted(world.gateway.host, world.gateway.port, asks, connections=connections)
        yield row("complete", "gateway", f"{connections} conn", outcome, expected=200)
        started = time.perf_counter()
        await world.until_ready(gallery, min(count, 500))
        elapsed = outcome.elapsed_s + time.perf_counter() - started
        yield Row(
            "small images to ready", "gateway", f"{connections} conn", round(count / elapsed, 1), 0, 0, 0
        )
    gallery = await world.new_gallery()
    ids = await world.uploaded(gallery, small_pictures(300, seed=7))
    paced = await fixed_rate(
        world.gateway.host,
        world.gateway.port,
        lambda number: _complete(world.gateway, gallery, ids[number]),
        per_second=100,
        seconds=3,
    )
    yield row("complete", "gateway", "100/s", paced, expected=200)
    await world.until_ready(gallery, 300)


async def complete_to_ready(world: World, _: float) -> AsyncIterator[Row]:
    """Measures one 12-megapixel photograph after another, from the answer to *complete* until its status is
    `ready`.
    """
    picture = camera_picture(4000, 3000)
    outcome = Outcome()
    gallery = await world.new_gallery()
    begin = time.perf_counter()
    for number in range(30):
        (upload_id,) = await world.uploaded(gallery, [picture])
        item = await world.complete(gallery, upload_id)
        started = time.perf_counter()
        while item["status"] != "ready":
            await asyncio.sleep(0.005)
            url = f"{world.gateway.url}/v1/media/{item['id']}"
            item = await world.ask("GET", url, headers={"x-gallery-key": gallery.access_key})
        outcome.latencies_s.append(time.perf_counter() - started)
        outcome.statuses[200] += 1
        if number == 0:
            outcome = Outcome()  # the first one starts the decoder process
            begin = time.perf_counter()
    outcome.elapsed_s = time.perf_counter() - begin
    yield row("12 MP complete to ready", "gateway", "1 at a time", outcome, expected=200)
    ids = await world.uploaded(gallery, [picture] * 60)
    started = time.perf_counter()
    await asyncio.gather(*(world.complete(gallery, upload_id) for upload_id in ids))
    await world.until_ready(gallery, 90)
    per_second = 60 / (time.perf_counter() - started)
    yield Row("12 MP complete to ready", "gateway", "60 at once", round(per_second, 1), 0, 0, 0)


async def login_storm(world: World, seconds: float) -> AsyncIterator[Row]:
    """Measures the gallery page at 100/s alone, then beside 20 logins a second, because argon2 must not slow
    down viewers.
    """
    gallery = await world.filled(small_pictures(VIEW_ITEMS))
    view = request(
        "GET", f"/v1/g/{gallery.code}", host=world.gateway.authority, headers={"accept-encoding": "zstd"}
    )
    logins = [await _login_of_new_account(world) for _ in range(LOGIN_ACCOUNTS)]
    duration = max(seconds, 5)

    async def views(load: str) -> Row:
        paced = await fixed_rate(
            world.gateway.host, world.gateway.port, _same(view), per_second=100, seconds=duration
        )
        return row("gallery view (zstd)", "gateway", load, paced, expected=200)

    yield await views("100/s alone")
    async with asyncio.TaskGroup() as group:
        beside = group.create_task(views("100/s + logins"))
        storm = group.create_task(
            fixed_rate(
                world.gateway.host,
                world.gateway.port,
                lambda number: logins[number % len(logins)],
                per_second=20,
                seconds=duration,
            )
        )
    yield beside.result()
    yield row("log in", "gateway", "20/s", storm.result(), expected=200)


async def _login_of_new_account(world: World) -> bytes:
    """Returns the login request of an account that was created for it."""
    email, password = f"{secrets.token_hex(8)}@example.com", secrets.token_hex(12)
    await world.ask("POST", f"{world.gateway.url}/v1/accounts", body={"email": email, "password": password})
    form = urlencode({"grant_type": "password", "username": email, "password": password}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return request("POST", "/v1/oauth/token", host=world.gateway.authority, headers=headers, body=form)


def _same(raw: bytes) -> MakeRequest:
    return lambda _: raw


def _complete(endpoint: Endpoint, gallery: Gallery, upload_id: str) -> bytes:
    headers = {**JSON, "x-gallery-key": gallery.access_key}
    return request(
        "POST", f"/v1/uploads/{upload_id}/complete", host=endpoint.authority, headers=headers, body=b"{}"
    )


Scenario = Callable[[World, float], AsyncIterator[Row]]

ON_DEFAULT_STACK: dict[str, Scenario] = {
    "view": gallery_view,
    "create": creation,
    "sign": signing,
    "complete": completion,
    "ready": complete_to_ready,
    "thumbnails": thumbnails,
    "logins": login_storm,
}
WITHOUT_PAGE_CACHE: dict[str, Scenario] = {"view-uncached": gallery_view_uncached}
