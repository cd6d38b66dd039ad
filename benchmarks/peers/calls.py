"""Calls about a gallery's metadata: beside Ente's museum, and in a database that grew."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
from kappi_testkit.stack import EmbeddedStack

from benchmarks.accounts import Account
from benchmarks.library_data import load
from benchmarks.load import request
from benchmarks.peers.generator import Journey, repeated, send
from benchmarks.peers.measuring import (
    CALL,
    FILE,
    Measured,
    Options,
    client_of,
    measured,
    running_kappi,
)
from benchmarks.peers.programs import Server, given_server, secret_of
from benchmarks.peers.rounds import Turn, in_rounds
from benchmarks.world import Gallery, World, batch_of, small_pictures

CONNECTIONS = 4
_ITEMS = 100
_VIEWS = 400
_MUSEUM_FILES = 50  # the most that it signs at once
_JSON = {"content-type": "application/json"}

_UPLOADS = """
INSERT INTO uploads
  (id, media_id, gallery_id, filename, content_type, size_bytes, state, expires_at, created_at)
SELECT upload_id, id, gallery_id, filename, content_type, size_bytes, 'completed', created_at, created_at
FROM items ON CONFLICT DO NOTHING
"""

Take = Callable[[], Awaitable[Turn]]


class Calls:
    """A stack with a gallery of 100 items, and the calls that are measured."""

    def __init__(self, stack: EmbeddedStack, world: World, gallery: Gallery) -> None:
        self._stack, self._world, self._gallery = stack, world, gallery
        self._pictures = small_pictures(_ITEMS)
        self._host = world.gateway.authority
        self._keyed = {**_JSON, "x-gallery-key": gallery.access_key}

    @property
    def kinds(self) -> Mapping[str, Take]:
        """The calls by their names, each with its own number of them in a turn."""
        return {"view": self.view, "sign": self.sign, "create": self.create, "complete": self.complete}

    async def view(self) -> Turn:
        ask = request("GET", f"/v1/g/{self._gallery.code}", host=self._host)
        return await self._repeated(ask, count=_VIEWS // CONNECTIONS, expected=200)

    async def sign(self) -> Turn:
        """Measures batches of 100 files."""
        body = msgspec.json.encode(batch_of([4_000_000 + number for number in range(_ITEMS)]))
        path = f"/v1/galleries/{self._gallery.id}/uploads"
        ask = request("POST", path, host=self._host, headers=self._keyed, body=body)
        return await self._repeated(ask, count=5, expected=201, units=_ITEMS)

    async def create(self) -> Turn:
        body = b'{"title": "Benchmark"}'
        ask = request("POST", "/v1/galleries", host=self._host, headers=_JSON, body=body)
        return await self._repeated(ask, count=25, expected=201)

    async def complete(self) -> Turn:
        gallery = await self._world.new_gallery()
        uploads = await self._world.uploaded(gallery, self._pictures)
        headers = {**_JSON, "x-gallery-key": gallery.access_key}
        asks = (
            request("POST", f"/v1/uploads/{each}/complete", host=self._host, headers=headers, body=b"{}")
            for each in uploads
        )
        return await self._measured([repeated(ask, count=1, expected=200) for ask in asks], _ITEMS)

    async def _repeated(self, ask: bytes, *, count: int, expected: int, units: int = 1) -> Turn:
        journeys = [repeated(ask, count=count, expected=expected) for _ in range(CONNECTIONS)]
        return await self._measured(journeys, count * CONNECTIONS * units)

    async def _measured(self, journeys: list[Journey], units: int) -> Turn:
        work = partial(send, self._world.gateway, journeys, connections=CONNECTIONS)
        turn = measured(work, pids=self._world.pids, units=units)
        await self._stack.wait_idle(timeout_s=300)
        return turn


async def against_others(options: Options) -> AsyncIterator[Measured]:
    """Measures each call in this checkout and in others, in stacks that run at the same time."""
    checkouts = {"this": Path(sys.executable)}
    checkouts |= {str(each): each / ".venv/bin/python" for each in options.against}
    async with AsyncExitStack() as stack:
        measured_calls: dict[str, Calls] = {}
        for number, (name, python) in enumerate(checkouts.items()):
            running = stack.enter_context(running_kappi(options.folder / str(number), python=python))
            world = await stack.enter_async_context(client_of(running))
            gallery = await world.filled(small_pictures(_ITEMS))
            await running.wait_idle(timeout_s=300)
            measured_calls[name] = Calls(running, world, gallery)
        async for found in _each_call(measured_calls, options.rounds, title="Checkouts"):
            yield found


async def growth(options: Options) -> AsyncIterator[Measured]:
    """Measures each call in three stacks at once: with all rows in the media database, with a tenth of them,
    and with a hundredth.
    """
    async with AsyncExitStack() as stack:
        grown: dict[str, Calls] = {}
        for percent in (100, 10, 1):
            rows = options.rows * percent // 100
            running = stack.enter_context(running_kappi(options.folder / f"data-{percent}"))
            world = await stack.enter_async_context(client_of(running))
            await _grow(running.database_url("media"), (await Account.sign_up(world)).id, items=rows)
            gallery = await world.filled(small_pictures(_ITEMS))
            await running.wait_idle(timeout_s=300)
            grown[f"{rows:,} items"] = Calls(running, world, gallery)
        async for found in _each_call(grown, options.rounds, title="Growth"):
            yield found


async def _each_call(stacks: Mapping[str, Calls], rounds: int, *, title: str) -> AsyncIterator[Measured]:
    for kind in next(iter(stacks.values())).kinds:
        subjects = {name: calls.kinds[kind] for name, calls in stacks.items()}
        unit = FILE if kind == "sign" else CALL
        yield Measured(f"{title}: {kind}", unit, await in_rounds(subjects, rounds))


async def museum(options: Options) -> AsyncIterator[Measured]:
    """Measures the list of a shared album of 100 items, and 50 signed files, beside a given museum.

    KAPPI_PEER_MUSEUM_TOKEN is an account's token, KAPPI_PEER_MUSEUM_ALBUM the access token of a shared album
    with 100 files.
    """
    server = given_server("MUSEUM")
    if server is None:
        return
    async with AsyncExitStack() as stack:
        running = stack.enter_context(running_kappi(options.folder / "data"))
        world = await stack.enter_async_context(client_of(running))
        own = Calls(running, world, await world.filled(small_pictures(_ITEMS)))
        host = server.at.authority
        view = request(
            "GET",
            "/public-collection/diff?sinceTime=0",
            host=host,
            headers={"x-auth-access-token": secret_of("MUSEUM_ALBUM")},
        )
        sign = request(
            "GET",
            f"/files/upload-urls?count={_MUSEUM_FILES}",
            host=host,
            headers={"x-auth-token": secret_of("MUSEUM_TOKEN")},
        )
        for kind, ask, unit, units in (("view", view, CALL, 1), ("sign", sign, FILE, _MUSEUM_FILES)):
            subjects: dict[str, Take] = {
                "Kappi": own.kinds[kind],
                "museum": partial(_by_museum, server, ask, units),
            }
            yield Measured(f"Beside museum: {kind}", unit, await in_rounds(subjects, options.rounds))


async def _by_museum(server: Server, ask: bytes, units: int) -> Turn:
    journeys = [repeated(ask, count=10, expected=200) for _ in range(CONNECTIONS)]
    work = partial(send, server.at, journeys, connections=CONNECTIONS)
    return measured(work, pids=server.pids, units=10 * CONNECTIONS * units)


async def _grow(database_url: str, owner_id: UUID, *, items: int) -> None:
    """Fills the media database with items, and the uploads that they came from."""
    await load(database_url, owner_id, items=items)
    connection = await asyncpg.connect(database_url, command_timeout=3_600)
    try:
        await connection.execute(_UPLOADS)
        await connection.execute("VACUUM (ANALYZE) uploads")
    finally:
        await connection.close()
