"""All early ends of an archive, seen from the client's side and from the service's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.http.server import HttpServer
from kappi_chassis.storage import StorageUnavailable
from kappi_contracts.grants import GRANT_HEADER
from kappi_contracts.keys import original_key
from kappi_media.archive import reading
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.archives import BIG, NAMES, WINDOW, Shelf, archive, contents, fill, noise
from kappi_testkit.media.harness import Gallery

pytestmark = pytest.mark.integration


@asynccontextmanager
async def serving(
    app: Any, *, drain_timeout: timedelta = timedelta(seconds=20)
) -> AsyncIterator[tuple[str, HttpServer]]:
    """Serves the app on a port of its own: only a connection shows a cut."""
    port = free_port()
    server = HttpServer(app, host="127.0.0.1", port=port, drain_timeout=drain_timeout)
    async with Background() as background:
        background.start(server.serve())
        yield f"http://127.0.0.1:{port}", server


@asynccontextmanager
async def asking(url: str, gallery: Gallery) -> AsyncIterator[aiohttp.ClientResponse]:
    """Returns the answer of a client that has read its head and little of its body."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def reached() -> aiohttp.ClientResponse:
            return await session.get(
                f"{url}/v1/g/{gallery.public.code}/archive", headers={GRANT_HEADER: gallery.grant("view")}
            )

        async with asyncio.timeout(10):
            while True:
                try:
                    response = await reached()
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)  # it is still starting
        async with response:
            yield response


def archive_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("archive")]


async def nothing_runs() -> None:
    assert archive_tasks() == []


class TestEnds:
    """However an archive ends early, the client can detect it, and nothing is left."""

    async def test_an_object_that_is_gone_cuts_the_connection(
        self,
        make_app: Callable[..., Any],
        any_store: FaultyStore,
        shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        await fill(shelf)
        gone = await shelf.add("gone.jpg", b"gone")
        await any_store.delete_batch([original_key(gallery.id, gone)])

        async with serving(make_app(any_store)) as (url, _), asking(url, gallery) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            await eventually(nothing_runs)

    async def test_another_object_than_expected_cuts_the_connection(
        self,
        make_app: Callable[..., Any],
        any_store: FaultyStore,
        shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        await shelf.add("a.jpg", b"a")
        swapped = await shelf.add("b.jpg", b"before")
        await any_store.put(original_key(gallery.id, swapped), b"after!", content_type="image/jpeg")

        async with serving(make_app(any_store)) as (url, _), asking(url, gallery) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

    async def test_a_store_that_fails_cuts_the_connection(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reading, "_PAUSE_S", 0)
        await fill(local_shelf)
        for number in range(20):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))

        async with serving(make_app(store)) as (url, _), asking(url, gallery) as response:
            await response.content.readexactly(100_000)
            store.down = True
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            await eventually(nothing_runs)

    async def test_a_store_that_fails_for_a_moment_does_not(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reading, "_PAUSE_S", 0)
        await fill(local_shelf)
        inner, failed = store.read, set()

        async def read(key: str, *, start: int = 0, length: int) -> Any:
            if (key, start) not in failed:
                failed.add((key, start))
                raise StorageUnavailable("hiccup")
            return await inner(key, start=start, length=length)

        monkeypatch.setattr(store, "read", read)

        assert list(contents((await archive(make_app(store), gallery)).body)) == NAMES

    async def test_a_client_that_leaves_frees_everything_at_once(
        self,
        make_app: Callable[..., Any],
        any_store: FaultyStore,
        shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(40):
            await shelf.add(f"{number}.mp4", noise(BIG, number))
        app = make_app(any_store, archives_at_once=1)

        async with serving(app) as (url, _):
            async with asking(url, gallery) as response:
                await response.content.readexactly(1)
                assert archive_tasks()
                assert (await archive(app, gallery)).code == "archive_busy"
            await eventually(nothing_runs)
            reads = any_store.reads
            # Sockets hold some megabytes. The whole archive, with the checksums of large files, is twice as
            # much.
            assert reads * (WINDOW // reading.READS_AHEAD) < 40 * BIG
            # Its place is free again, and reading for it has stopped.
            assert (await archive(app, gallery, "HEAD")).status == 200
            assert any_store.reads == reads
            assert len(contents((await archive(app, gallery)).body)) == 40

    async def test_a_client_that_does_not_read_has_nothing_read_for_it(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(40):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))

        async with serving(make_app(store)) as (url, _), asking(url, gallery) as response:
            seen = -1
            while seen != store.reads:  # until it has stopped by itself
                seen = store.reads
                await asyncio.sleep(0.3)
            # Sockets hold some megabytes. The whole archive, with the checksums of large files, is twice as
            # much.
            assert seen * (WINDOW // reading.READS_AHEAD) < 40 * BIG
            assert len(contents(await response.read())) == 40

    async def test_a_service_that_drains_cuts_what_takes_too_long(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(30):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))
        app = make_app(store)

        async with (
            serving(app, drain_timeout=timedelta(seconds=1)) as (url, server),
            asking(url, gallery) as response,
        ):
            head = await response.content.readexactly(50_000)
            etag = response.headers["etag"]
            server.stop()
            await eventually(nothing_runs)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

        rest = await archive(app, gallery, range="bytes=50000-", if_range=etag)
        assert len(contents(head + rest.body)) == 30

    async def test_more_than_the_service_takes_come_again_later(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        for number in range(30):
            await local_shelf.add(f"{number}.mp4", noise(BIG, number))
        app = make_app(store, archives_at_once=2)

        async with serving(app) as (url, _), asking(url, gallery), asking(url, gallery):
            answer = await archive(app, gallery)
            assert (answer.status, answer.code) == (503, "archive_busy")
            assert answer.headers["retry-after"] == "5"
            assert (await archive(app, gallery, "HEAD")).status == 200
