"""A client of live streams, and the changes that a feed would bring."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from kappi_chassis.clock import Clock, utc_now
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import (
    Event,
    GalleryDeleted,
    GalleryUpdated,
    ItemsReordered,
    MediaDeleted,
    MediaMoved,
    MediaReady,
    MediaRejected,
)
from kappi_gateway.auth.grant_cache import KeptGrant
from kappi_gateway.live.streams import LiveStreams, Reopen
from kappi_testkit.gateway.fake_services import GALLERY_ID
from kappi_testkit.gateway.raw_http import DEADLINE_S, RawAnswer, read_answer, request
from kappi_testkit.gateway.stack import Stack

PATH = "/v1/g/abcd/live"
CLUSTER = "a-cluster"
PARTITIONS = [(topic, number) for topic in ("GalleryUpdated", "MediaReady") for number in range(3)]
NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def still_opens(_: str) -> KeptGrant | None:
    return KeptGrant(token="t", gallery_id=GALLERY_ID, reusable_s=60)


def live_streams(*, reopen: Reopen = still_opens, clock: Clock = utc_now, **limits: int) -> LiveStreams:
    """Returns streams without a gateway around them."""
    return LiveStreams(
        reopen=reopen,
        clock=clock,
        heartbeat=timedelta(seconds=15),
        cipher=AESSIV(bytes(32)),
        **{"per_gallery": 10, "most_waiting": 4, "changes_kept": 100, **limits},
    )


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a stream. id: empty if it came without one."""

    kind: str
    data: Any
    id: str


class Viewer:
    """A client in the middle of a stream. last_id: what it would send as Last-Event-ID."""

    def __init__(self, reader: asyncio.StreamReader, last_id: str = "") -> None:
        self._reader = reader
        self._rest = ""
        self._blocks: deque[str] = deque()
        self.last_id = last_id
        self.heartbeats = 0
        self.retry_ms = 0

    async def next(self) -> Told:
        """Returns the next event."""
        told = await self.next_or_end()
        assert told is not None, "the stream ended"
        return told

    async def next_or_end(self) -> Told | None:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while not self._blocks:
                    if not await self._read():
                        return None
                if (told := self._told(self._blocks.popleft())) is not None:
                    return told

    async def ends(self) -> list[Told]:
        """Returns what comes before the end."""
        found: list[Told] = []
        while (told := await self.next_or_end()) is not None:
            found.append(told)
        return found

    def _told(self, block: str) -> Told | None:
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        self.last_id = fields.get("id", self.last_id)
        self.retry_ms = int(fields.get("retry", self.retry_ms))
        self.heartbeats += ":" in fields
        if "event" not in fields:
            return None
        return Told(fields["event"], msgspec.json.decode(fields["data"]), fields.get("id", ""))

    async def _read(self) -> bool:
        try:
            size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
            *blocks, self._rest = (self._rest + (await self._reader.readexactly(size)).decode()).split("\n\n")
            self._blocks += blocks
            await self._reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return False
        return size > 0


@asynccontextmanager
async def watching(
    stack: Stack, *lines: str, path: str = PATH, last_id: str | None = None, begins: bool = True
) -> AsyncIterator[Viewer]:
    """Opens a stream. last_id: of an earlier one. begins: reads the `reset` of a new stream."""
    if last_id is not None:
        lines = (*lines, f"Last-Event-ID: {last_id}")
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    try:
        writer.write(request("GET", path, *lines))
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b"content-type: text/event-stream" in head
        viewer = Viewer(reader)
        if last_id is None and begins:
            assert (await viewer.next()).kind == "reset"
        yield viewer
    finally:
        writer.close()


async def refused(stack: Stack, *lines: str, path: str = PATH) -> RawAnswer:
    """Asks for a stream and returns the refusal."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    try:
        writer.write(request("GET", path, *lines))
        async with asyncio.timeout(DEADLINE_S):
            return await read_answer(reader)
    finally:
        writer.close()


class Feed:
    """Brings changes to the streams of any number of gateways, as the consumer of each would."""

    def __init__(self, *lives: LiveStreams, cluster: str = CLUSTER) -> None:
        self._next = dict.fromkeys(PARTITIONS, 100)
        self._sequence = 0
        self.cluster = cluster
        for live in lives:
            self.connect(live)

    def connect(self, live: LiveStreams) -> None:
        begins = dict.fromkeys(PARTITIONS, 0)
        live.locate(self.cluster, begins=begins, ends=self._next)

    def bring(self, *events: Event, to: list[LiveStreams], sequence: int | None = None) -> None:
        """Brings the events as one batch, to each gateway the same records."""
        records = []
        for event in events:
            partition = PARTITIONS[UUID(event.key()).int % len(PARTITIONS)]
            self._sequence += 1
            envelope = Envelope(
                id=uuid4(), source="/media", time=NOW, sequence=sequence or self._sequence, data=event
            )
            records.append((partition, self._next[partition], envelope))
            self._next[partition] += 1
        for live in to:
            for partition, offset, envelope in records:
                live.apply(partition, offset, envelope)
            live.flush()


def ready(media_id: UUID | None = None, *, gallery_id: UUID = GALLERY_ID) -> MediaReady:
    return MediaReady(
        media_id=media_id or uuid4(),
        gallery_id=gallery_id,
        kind="image",
        content_type="image/jpeg",
        size_bytes=1,
        width=1,
        height=1,
        duration_ms=None,
        ready_at=NOW,
    )


def removed(media_id: UUID, *, gallery_id: UUID = GALLERY_ID) -> MediaDeleted:
    return MediaDeleted(media_id=media_id, gallery_id=gallery_id, reason="requested", deleted_at=NOW)


def rejected(media_id: UUID) -> MediaRejected:
    return MediaRejected(media_id=media_id, gallery_id=GALLERY_ID, reason="corrupt", rejected_at=NOW)


def moved(media_id: UUID, *, to: UUID, origin: UUID) -> MediaMoved:
    return MediaMoved(media_id=media_id, gallery_id=to, from_gallery_id=origin, size_bytes=1, moved_at=NOW)


def updated(**changes: Any) -> GalleryUpdated:
    event = GalleryUpdated(
        gallery_id=GALLERY_ID, owner_id=None, visibility="shared", expires_at=None, updated_at=NOW
    )
    return msgspec.structs.replace(event, **changes)


def reordered() -> ItemsReordered:
    return ItemsReordered(gallery_id=GALLERY_ID, reordered_at=NOW)


def gallery_deleted() -> GalleryDeleted:
    return GalleryDeleted(gallery_id=GALLERY_ID, owner_id=None, reason="requested", deleted_at=NOW)
