"""Finds what is lost, double or left after all faults, from databases, store and broker directly.

It uses SQL, the store's listing and the broker's offsets, and nothing of the product's own checks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from kappi_contracts.services import DATABASES
from kappi_testkit.eventually import eventually

from tests.chaos.ledger import Ledger, Sent
from tests.chaos.load import AHEAD_S
from tests.chaos.receiver import Receiver
from tests.chaos.system import System

_SETTLED_S = 300.0
_KAFKA_TIMEOUT_S = 10.0
_CLOCKS_S = 1.0
"""Largest difference of the instants that client and server give one event."""
_DELETED_AT = """
SELECT key, extract(epoch FROM occurred_at)::float8 FROM outbox WHERE topic = 'GalleryDeleted'"""


@dataclass(slots=True)
class Report:
    """checked: number of facts by kind. wrong: sentences about the ones that are not so."""

    checked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def expect(self, kind: str, *, so: bool, sentence: str) -> None:
        self.checked[kind] += 1
        if not so:
            self.wrong.append(f"{kind}: {sentence}")


class Checker:
    def __init__(self, system: System, ledger: Ledger, receiver: Receiver) -> None:
        self._system = system
        self._ledger = ledger
        self._receiver = receiver
        self.report = Report()

    async def check(self) -> Report:
        """Waits until no work is left, then checks everything. Raises AssertionError if work is left."""
        await eventually(self._is_idle, _SETTLED_S)
        items = await self._query(
            "media", "SELECT id::text, gallery_id::text, status, size_bytes, sha256 FROM items"
        )
        await self._check_items(items)
        await self._check_galleries()
        await self._check_expiries()
        await eventually(self._nothing_to_purge, _SETTLED_S)
        await self._check_objects()
        await self._check_comments()
        await self._check_webhooks()
        await self._check_events()
        return self.report

    async def _is_idle(self) -> None:
        for service in DATABASES:
            (row,) = await self._query(service, "SELECT count(*) FROM outbox WHERE sent_at IS NULL")
            assert row[0] == 0, f"{service}: {row[0]} events are not sent"
        (row,) = await self._query("media", "SELECT count(*) FROM items WHERE status = 'processing'")
        assert row[0] == 0, f"{row[0]} items are in processing"
        behind = await asyncio.to_thread(self._behind)
        assert not behind, f"records not consumed: {behind}"

    async def _nothing_to_purge(self) -> None:
        (row,) = await self._query("janitor", "SELECT count(*) FROM purges WHERE done_at IS NULL")
        assert row[0] == 0, f"{row[0]} prefixes are not purged"

    async def _check_items(self, rows: list[Any]) -> None:
        found: dict[str, Any] = {row["id"]: row for row in rows}
        for gallery_id in self._ledger.kept:
            expected = self._ledger.live_items(gallery_id)
            for media_id, sent in expected.items():
                self.report.expect(
                    "acknowledged uploads",
                    so=media_id in found and _is_as_sent(found[media_id], sent),
                    sentence=f"{media_id} is {dict(found.get(media_id, {}))}, not {sent}",
                )
            if gallery_id not in self._ledger.unsure:
                there = {media_id for media_id, row in found.items() if row["gallery_id"] == gallery_id}
                more = there - expected.keys() - self._ledger.unsure
                self.report.expect("items twice or never sent", so=not more, sentence=f"{sorted(more)}")
        self._check_deleted(self._ledger.deleted_items, found.keys())

    def _check_deleted(self, ids: Iterable[str], left: Collection[str]) -> None:
        for each in ids:
            self.report.expect("acknowledged deletions", so=each not in left, sentence=f"{each} is back")

    async def _check_galleries(self) -> None:
        rows = await self._query(
            "media", "SELECT gallery_id::text, count(*), coalesce(sum(size_bytes), 0) FROM items GROUP BY 1"
        )
        stored = {row[0]: (row[1], int(row[2])) for row in rows}
        counted = await self._query(
            "galleries", "SELECT id::text, item_count, size_bytes FROM galleries WHERE deleted_at IS NULL"
        )
        for gallery_id, count, size_bytes in counted:
            self.report.expect(
                "counters of galleries",
                so=(count, size_bytes) == stored.get(gallery_id, (0, 0)),
                sentence=f"{gallery_id} counts {(count, size_bytes)}, has {stored.get(gallery_id)}",
            )
        left = {row[0] for row in counted}
        self._check_deleted(self._ledger.deleted, left)
        for gallery_id in self._ledger.kept:
            self.report.expect("galleries", so=gallery_id in left, sentence=f"{gallery_id} is lost")

    async def _check_expiries(self) -> None:
        # The instant by the database's clock: one of the faults makes those of processes wrong.
        rows = await self._query("galleries", _DELETED_AT)
        deleted_at = dict(tuple(row) for row in rows)
        for gallery_id, (due, due_at_latest) in self._ledger.due.items():
            at = deleted_at.get(gallery_id)
            self.report.expect(
                "expiries, none early",
                so=at is None or at + AHEAD_S >= due - _CLOCKS_S,
                sentence=f"{gallery_id} was deleted {due - AHEAD_S - (at or 0):.1f} s early",
            )
            if due_at_latest < self._ledger.last_tick_at - _CLOCKS_S:
                self.report.expect("expiries, all due", so=at is not None, sentence=f"{gallery_id} is left")

    async def _check_objects(self) -> None:
        ready = "SELECT id::text, gallery_id::text FROM items WHERE status = 'ready'"
        rows = await self._query("media", ready)
        items = {f"galleries/{row[1]}/{row[0]}" for row in rows}
        keys = await self._keys("galleries/")
        originals = {key.removesuffix("/original") for key in keys if key.endswith("/original")}
        for prefix in items:
            self.report.expect("originals", so=prefix in originals, sentence=f"{prefix} has no object")
        for key in keys:
            prefix = "/".join(key.split("/")[:3])
            so = prefix in items or key.split("/")[1] in self._ledger.unsure
            self.report.expect("objects without a row", so=so, sentence=key)

    async def _check_comments(self) -> None:
        rows = await self._query("galleries", "SELECT id::text, text FROM comments")
        texts = Counter(row[1] for row in rows)
        for comment_id, text in self._ledger.comments.items():
            self.report.expect(
                "comments", so=texts[text] == 1, sentence=f"{text!r} ({comment_id}): {texts[text]}"
            )

    async def _check_webhooks(self) -> None:
        await eventually(self._all_is_told, _SETTLED_S)
        for comment_id, deliveries in self._receiver.told.items():
            sentence = f"{comment_id} by {len(deliveries)} deliveries"
            self.report.expect("webhooks told once", so=len(deliveries) == 1, sentence=sentence)

    def _all_is_told(self) -> None:
        missing = self._ledger.comments.keys() - self._receiver.told.keys()
        assert not missing, f"{len(missing)} comments were not told to the receiver"

    async def _check_events(self) -> None:
        for service, topic in (("media", "MediaReady"), ("galleries", "GalleryDeleted")):
            rows = await self._query(
                service, f"SELECT key, count(*) FROM outbox WHERE topic = '{topic}' GROUP BY key"
            )
            for key, count in rows:
                self.report.expect("events published once", so=count == 1, sentence=f"{topic} {key}: {count}")
        letters = await asyncio.to_thread(self._dead_letters)
        self.report.expect("dead letters", so=not letters, sentence=f"{letters}")

    async def _query(self, service: str, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self._system.database_url(service), timeout=10)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def _keys(self, prefix: str) -> list[str]:
        store = self._system.store.inner.store(self._system.bucket)
        try:
            keys, token = [], None
            while True:
                page = await store.list_page(prefix, token=token)
                keys += [found.key for found in page.objects]
                token = page.next_token
                if token is None:
                    return keys
        finally:
            await store.close()

    def _behind(self) -> dict[str, int]:
        """Returns the numbers of records that groups of the services have not consumed."""
        admin = AdminClient({"bootstrap.servers": self._system.kafka.bootstrap})
        groups = admin.list_consumer_groups().result(_KAFKA_TIMEOUT_S).valid
        behind: dict[str, int] = {}
        with self._reader() as reader:
            for group in groups:
                if group.group_id.startswith("gateway"):
                    continue  # it reads from the newest record on, under a new name per process
                asked = [ConsumerGroupTopicPartitions(group.group_id)]
                (future,) = admin.list_consumer_group_offsets(asked).values()
                for place in future.result(_KAFKA_TIMEOUT_S).topic_partitions:
                    _, end = reader.get_watermark_offsets(place, timeout=_KAFKA_TIMEOUT_S)
                    if place.offset < end:
                        behind[f"{group.group_id} {place.topic}/{place.partition}"] = end - place.offset
        return behind

    def _dead_letters(self) -> dict[str, int]:
        with self._reader() as reader:
            topics = reader.list_topics(timeout=_KAFKA_TIMEOUT_S).topics
            return {
                name: count
                for name, topic in topics.items()
                if name.endswith(".dlq") and (count := _length(reader, name, topic.partitions))
            }

    def _reader(self) -> _Reader:
        return _Reader({"bootstrap.servers": self._system.kafka.bootstrap, "group.id": "checker"})


class _Reader(Consumer):
    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _length(reader: Consumer, topic: str, partitions: Iterable[int]) -> int:
    ends = (reader.get_watermark_offsets(TopicPartition(topic, each)) for each in partitions)
    return sum(high - low for low, high in ends)


def _is_as_sent(row: Any, sent: Sent) -> bool:
    return (row["gallery_id"], row["status"], row["size_bytes"], bytes(row["sha256"]).hex()) == (
        sent.gallery_id,
        "ready",
        sent.size_bytes,
        sent.sha256,
    )
