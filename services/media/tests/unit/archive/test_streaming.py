"""Any part of any archive, with any known checksums, from a store that answers in any order."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kappi_chassis.storage import ObjectHead, ObjectMissing, ObjectStore, RangedRead
from kappi_media.archive import checksums
from kappi_media.archive.checksums import Checkpoint, Checksum, ChecksumLedger, Counting
from kappi_media.archive.layout import ArchiveFile, ArchiveLayout, Data, End, Header, Listing, StoredFile
from kappi_media.archive.reading import READS_AHEAD, Blocks, ContentChanged
from kappi_media.archive.streaming import ArchiveStream
from kappi_media.archive.times import EntryTime

BLOCK = 16
WINDOW = READS_AHEAD * BLOCK
TIME = EntryTime(1 << 21, None)


@dataclass
class MemoryStore:
    """A store in memory. bodies: by key. It records concurrent reads. turns: of the loop that a read may
    take.
    """

    bodies: dict[str, bytes]
    etag: str = "tag"
    reading: int = 0
    most_reading: int = 0
    read_bytes: int = 0
    turns: int = 4
    random: Random = field(default_factory=lambda: Random(1))

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        try:
            for _ in range(self.random.randrange(self.turns)):
                await asyncio.sleep(0)
        finally:
            self.reading -= 1
        if key not in self.bodies:
            raise ObjectMissing(key)
        body = self.bodies[key][start : start + length]
        self.read_bytes += len(body)
        head = ObjectHead(key, len(self.bodies[key]), self.etag, "image/jpeg", datetime.now(UTC))
        return RangedRead(head, body)


def layout_of(bodies: Sequence[bytes], known: Sequence[bool]) -> ArchiveLayout:
    return ArchiveLayout(
        [
            ArchiveFile(
                f"{number}.jpg",
                TIME,
                StoredFile(
                    UUID(int=number), str(number), len(body), "tag", zlib.crc32(body) if told else None
                ),
            )
            for number, (body, told) in enumerate(zip(bodies, known, strict=True))
        ]
    )


def expected(layout: ArchiveLayout, bodies: Sequence[bytes], first: int, last: int) -> bytes:
    out = bytearray()
    for piece in layout.pieces(first, last):
        match piece:
            case Header(number):
                out += layout.header(piece, zlib.crc32(bodies[number]))
            case Data(number, start, length):
                out += bodies[number][start : start + length]
            case Listing(number):
                out += layout.listing(piece, zlib.crc32(bodies[number]))
            case End():
                out += layout.end(piece)
    return bytes(out)


async def save_nothing(_: Sequence[Checksum]) -> None:
    return


async def sent(
    store: MemoryStore, layout: ArchiveLayout, first: int, last: int, *, ledger: ChecksumLedger | None = None
) -> bytes:
    out = bytearray()

    async def write(body: bytes) -> None:
        await asyncio.sleep(0)
        out.extend(body)

    used = ledger or ChecksumLedger(save_nothing)
    blocks = Blocks(cast("ObjectStore", store), size_bytes=BLOCK)
    stream = ArchiveStream(layout, first=first, last=last, blocks=blocks, ledger=used)
    try:
        await stream.send_to(write)
    finally:
        if ledger is None:
            await used.close()
    return bytes(out)


def stored(bodies: Sequence[bytes]) -> MemoryStore:
    return MemoryStore({str(number): body for number, body in enumerate(bodies)})


# From one byte to several windows.
BODIES = st.lists(
    st.integers(1, 3 * WINDOW).map(lambda size: Random(size).randbytes(size)), min_size=1, max_size=6
)


@settings(max_examples=120, deadline=None)
@given(BODIES, st.data())
def test_any_part_is_sent_whatever_is_known(bodies: list[bytes], data: st.DataObject) -> None:
    known = data.draw(st.lists(st.booleans(), min_size=len(bodies), max_size=len(bodies)))
    layout, store = layout_of(bodies, known), stored(bodies)
    first = data.draw(st.integers(0, layout.size_bytes - 1))
    last = data.draw(st.integers(first, layout.size_bytes - 1))

    assert asyncio.run(sent(store, layout, first, last)) == expected(layout, bodies, first, last)
    # Ahead of the one that is waited for; and likewise two for a checksum.
    assert store.most_reading <= READS_AHEAD + 1 + 2 + 1
    assert store.reading == 0


async def test_what_is_known_is_read_once_and_in_parallel() -> None:
    bodies = [bytes(300)] * 5
    store, layout = stored(bodies), layout_of(bodies, [True] * 5)
    store.turns = 50

    await sent(store, layout, 0, layout.size_bytes - 1)

    assert store.read_bytes == 1500
    assert READS_AHEAD <= store.most_reading <= READS_AHEAD + 1


async def test_a_client_that_stops_early_has_had_little_counted_for_it() -> None:
    bodies = [bytes(10 * WINDOW)] * 20
    store, layout = stored(bodies), layout_of(bodies, [False] * 20)
    ledger = ChecksumLedger(save_nothing)
    taken = 0

    async def write(body: bytes) -> None:
        nonlocal taken
        taken += len(body)
        if taken > 2 * WINDOW:
            await asyncio.Event().wait()

    blocks = Blocks(cast("ObjectStore", store), size_bytes=BLOCK)
    stream = ArchiveStream(layout, first=0, last=layout.size_bytes - 1, blocks=blocks, ledger=ledger)
    sending = asyncio.create_task(stream.send_to(write))
    seen = -1
    while seen != store.read_bytes:
        seen = store.read_bytes
        await asyncio.sleep(0.05)
    # The first file for its checksum, what was sent of it, the window, and the second for its checksum.
    assert store.read_bytes <= 2 * 10 * WINDOW + 4 * WINDOW
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert store.reading == 0
    await ledger.close()


async def test_a_file_that_is_another_by_now_ends_it() -> None:
    bodies = [b"abc", b"def"]
    store, layout = stored(bodies), layout_of(bodies, [True, True])
    store.etag = "another"
    with pytest.raises(ContentChanged):
        await sent(store, layout, 0, layout.size_bytes - 1)
    shorter = stored([b"abc", b"d"])
    with pytest.raises(ContentChanged):
        await sent(shorter, layout, 0, layout.size_bytes - 1)


async def test_a_file_that_is_gone_ends_it() -> None:
    bodies = [b"abc", bytes(5 * WINDOW), b"ghi"]
    store, layout = stored(bodies), layout_of(bodies, [False] * 3)
    del store.bodies["1"]
    with pytest.raises(ObjectMissing):
        await sent(store, layout, 0, layout.size_bytes - 1)
    assert store.reading == 0


class TestLedger:
    """What several archives of a process share, and save in the database."""

    async def test_checksums_are_saved_in_batches_and_on_closing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checksums, "BATCH", 3)
        monkeypatch.setattr(checksums, "FLUSH_AFTER_S", 60.0)
        saved: list[list[Checksum]] = []

        async def save(batch: Sequence[Checksum]) -> None:
            saved.append(list(batch))

        bodies = [b"a", b"b", b"c", b"d"]
        layout, ledger = layout_of(bodies, [False] * 4), ChecksumLedger(save)
        await sent(stored(bodies), layout, 0, layout.size_bytes - 1, ledger=ledger)
        assert ledger.known(layout.files[3]) == zlib.crc32(b"d")
        await ledger.close()

        assert [len(batch) for batch in saved] == [3, 1]
        assert saved[0][0] == Checksum(UUID(int=0), "tag", zlib.crc32(b"a"))

    async def test_what_was_saved_after_the_layout_was_read_is_still_known(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The archive was laid out before its checksums were computed; the ledger drops them once they are
        saved.
        """
        monkeypatch.setattr(checksums, "FLUSH_AFTER_S", 0)
        flushed = asyncio.Event()

        async def save(_: Sequence[Checksum]) -> None:
            flushed.set()

        bodies = [bytes(5 * WINDOW)] * 3
        layout, ledger = layout_of(bodies, [False] * 3), ChecksumLedger(save)
        store, size = stored(bodies), layout.size_bytes
        slow: Any = store.read

        async def read(key: str, **span: int) -> RangedRead:
            if key == "2":
                await flushed.wait()
            found: RangedRead = await slow(key, **span)
            return found

        store.read = read  # type: ignore[method-assign]
        assert await sent(store, layout, 0, size - 1, ledger=ledger) == expected(layout, bodies, 0, size - 1)
        await ledger.close()

    @pytest.mark.parametrize("size_bytes", [WINDOW // 4, 5 * WINDOW])
    @pytest.mark.parametrize("seed", range(5))
    async def test_several_first_readers_all_get_the_whole(
        self, monkeypatch: pytest.MonkeyPatch, size_bytes: int, seed: int
    ) -> None:
        """What one of them computed is saved, and dropped, while the others are still running."""
        monkeypatch.setattr(checksums, "FLUSH_AFTER_S", 0)
        random = Random(seed)
        bodies = [random.randbytes(size_bytes) for _ in range(6)]
        store, ledger = stored(bodies), ChecksumLedger(save_nothing)

        async def reader(turns: int) -> bytes:
            layout, out = layout_of(bodies, [False] * 6), bytearray()

            async def write(body: bytes) -> None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                out.extend(body)

            blocks = Blocks(cast("ObjectStore", store), size_bytes=BLOCK)
            await ArchiveStream(
                layout, first=0, last=layout.size_bytes - 1, blocks=blocks, ledger=ledger
            ).send_to(write)
            return bytes(out)

        layout = layout_of(bodies, [False] * 6)
        whole = expected(layout, bodies, 0, layout.size_bytes - 1)
        got = await asyncio.gather(*(reader(random.randrange(1, 40)) for _ in range(3)))
        assert [body == whole for body in got] == [True] * 3
        await ledger.close()

    async def test_a_count_goes_on_where_it_was_given_up(self) -> None:
        bodies = [Random(1).randbytes(20 * WINDOW)]
        layout, ledger, store = layout_of(bodies, [False]), ChecksumLedger(save_nothing), stored(bodies)
        inner: Any = store.read
        calls = 0

        async def read(key: str, **span: int) -> RangedRead:
            nonlocal calls
            calls += 1
            if calls == 40:
                raise ObjectMissing(key)
            found: RangedRead = await inner(key, **span)
            return found

        store.read = read  # type: ignore[method-assign]
        with pytest.raises(ObjectMissing):
            await sent(store, layout, 0, layout.size_bytes - 1, ledger=ledger)
        checkpoint = ledger.checkpoint(layout.files[0])
        assert checkpoint.offset >= 30 * BLOCK
        assert checkpoint.crc32 == zlib.crc32(bodies[0][: checkpoint.offset])
        size = layout.size_bytes
        assert await sent(store, layout, 0, size - 1, ledger=ledger) == expected(layout, bodies, 0, size - 1)
        assert ledger.checkpoint(layout.files[0]).offset == 0
        await ledger.close()

    @pytest.mark.parametrize("in_memory", [True, False])
    async def test_what_another_counted_is_kept_for_the_directory(self, *, in_memory: bool) -> None:
        body = bytes(10)
        ledger, files = ChecksumLedger(save_nothing), layout_of([body], [False]).files
        blocks = Blocks(cast("ObjectStore", stored([body])), size_bytes=BLOCK)
        counting = Counting(files, ledger=ledger, blocks=blocks)
        ledger.note(files[0], 17)
        if in_memory:
            assert await counting.of_blocks(0, []) == 17
        else:
            counting.begin(first=[0], afterwards=[])
            await asyncio.sleep(0)  # it finds that nothing is left to compute
        await ledger.close()
        assert ledger.known(files[0]) is None

        assert await counting.of(0) == 17
        await counting.close()

    async def test_the_furthest_of_several_counts_is_gone_on_with(self) -> None:
        ledger = ChecksumLedger(save_nothing)
        (file,) = layout_of([bytes(100)], [False]).files
        for offset in (40, 80, 10):
            ledger.leave(file, Checkpoint(offset, offset))
        assert ledger.checkpoint(file) == Checkpoint(80, 80)
        await ledger.close()
