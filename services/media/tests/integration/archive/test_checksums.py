"""Checksums of originals: computed once, saved, and without delay for other requests."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from kappi_chassis.db import Database
from kappi_chassis.http.edge import CutOff, Message, Receive, Scope, Send
from kappi_chassis.storage import StorageUnavailable
from kappi_media.archive import checksums, reading
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.archives import BIG, FILES, WINDOW, Shelf, archive, contents, fill, noise
from kappi_testkit.media.harness import Gallery

pytestmark = pytest.mark.integration


class TestChecksums:
    async def test_are_kept_without_anyone_seeing_a_change(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
        database: Database,
    ) -> None:
        await fill(local_shelf)
        versions = "SELECT version, (SELECT sum(version) FROM items) FROM contents WHERE gallery_id = $1"
        before = await database.hot.fetchrow(versions, gallery.id)

        await archive(make_app(store), gallery)

        async def all_kept() -> None:
            assert await local_shelf.crcs() == [zlib.crc32(body) for body in FILES.values()]

        await eventually(all_kept)
        assert await database.hot.fetchrow(versions, gallery.id) == before

    async def test_cost_reading_large_files_once_more_the_first_time_only(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        await fill(local_shelf)
        app = make_app(store)
        block = WINDOW // reading.READS_AHEAD
        once = sum(-(-len(body) // block) for body in FILES.values())
        large = sum(-(-len(body) // block) for body in FILES.values() if len(body) > WINDOW)

        first = await archive(app, gallery)
        assert store.reads == once + large
        second = await archive(app, gallery)
        assert store.reads == 2 * once + large
        assert first.body == second.body

    async def test_are_found_out_by_several_first_readers_at_once(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One request finds in memory what another computed, and it is saved and dropped before it is
        needed.
        """
        monkeypatch.setattr(checksums, "FLUSH_AFTER_S", 0.02)
        films = {f"{number}.mp4": noise(BIG, number) for number in range(8)}
        for name, body in films.items():
            await local_shelf.add(name, body)
        app = make_app(store)

        def read_by(pause_s: float) -> Any:
            async def read(scope: Scope, receive: Receive, send: Send) -> None:
                async def take(message: Message) -> None:
                    await asyncio.sleep(pause_s)
                    await send(message)

                await app(scope, receive, take)

            return read

        answers = [archive(read_by(pause_s), gallery) for pause_s in (0.004, 0.005, 0.006)]
        first, *others = [answer.body for answer in await asyncio.gather(*answers)]
        assert contents(first) == films
        assert others == [first] * 2

    async def test_of_files_before_a_range_are_found_out(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
    ) -> None:
        """A request continues what another process began, of which nothing was kept."""
        await fill(local_shelf)
        size = int((await archive(make_app(store), gallery, "HEAD")).headers["content-length"])

        rest = await archive(make_app(store), gallery, range=f"bytes={size - 700}-")

        whole = await archive(make_app(store), gallery)
        assert rest.body == whole.body[-700:]

    async def test_a_count_that_is_given_up_is_gone_on_with(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(reading, "_PAUSE_S", 0)
        await local_shelf.add("big.mp4", noise(BIG))
        app = make_app(store)
        blocks = -(-BIG // (WINDOW // reading.READS_AHEAD))
        inner = store.read

        async def read(key: str, *, start: int = 0, length: int) -> Any:
            if start > BIG // 2:
                raise StorageUnavailable("down for a test")
            return await inner(key, start=start, length=length)

        with monkeypatch.context() as trouble:
            trouble.setattr(store, "read", read)
            with pytest.raises(CutOff):
                await archive(app, gallery)
        store.reads = 0

        assert contents((await archive(app, gallery)).body) == {"big.mp4": noise(BIG)}
        assert store.reads < blocks + blocks * 0.7

    async def test_that_cannot_be_kept_hold_nobody_up(
        self,
        make_app: Callable[..., Any],
        store: FaultyStore,
        local_shelf: Shelf,
        gallery: Gallery,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await fill(local_shelf)
        refused = asyncio.Event()

        async def away(*_: object) -> None:
            refused.set()
            raise ConnectionRefusedError

        monkeypatch.setattr("kappi_media.repository.archive.ArchiveQueries.save", away)
        app = make_app(store)

        assert contents((await archive(app, gallery)).body)["first.jpg"] == FILES["first.jpg"]
        async with asyncio.timeout(10):
            await refused.wait()
        assert (await archive(app, gallery, range="bytes=-700")).status == 206
