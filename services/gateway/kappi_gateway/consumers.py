"""Drops grants that become stale, and tells the live streams what happens in their galleries.

Every instance needs every change, but only changes from now on. So this consumer reads without a group, from
the end, and commits nothing. After an interruption it reads on where it stopped; all grants are dropped,
because they may have become stale meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.bus.consumer_ages import is_answered
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import work_caused_by
from kappi_contracts.envelope import Envelope, MalformedEvent, UnknownVersion, decode
from kappi_contracts.events import AccountDeleted, ContributorRemoved, Event, GalleryDeleted, GalleryUpdated
from kappi_contracts.topics import consumed_by

from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import GrantCache
from kappi_gateway.live.streams import FeedGap, LiveStreams

POLL_MS = 5_000
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 15.0
SILENT_AFTER_S = 10.0

_log = get_logger(__name__)


class GalleryChanges:
    """Reads the change topics while it runs."""

    def __init__(self, connection: KafkaConnection, cache: GrantCache, live: LiveStreams) -> None:
        self._connection = connection
        self._cache = cache
        self._live = live
        self._connected = False

    async def run(self) -> None:
        """Runs until cancelled. The gateway works without the broker, so a lost broker is waited for."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                await self._follow()
            except (FeedGap, KafkaError, OSError) as error:
                _log.warning("changes.interrupted", error=str(error), error_type=type(error).__name__)
            if self._connected:
                backoff_s = FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    async def _follow(self) -> None:
        self._connected = False
        topics = [self._connection.topic(topic.name) for topic in consumed_by("gateway")]
        kafka = AIOKafkaConsumer(
            *topics,
            **self._connection.client_options(),
            group_id=None,
            auto_offset_reset="latest",
            enable_auto_commit=False,
            fetch_max_wait_ms=self._connection.fetch_max_wait_ms,
            metadata_max_age_ms=10_000,
            consumer_timeout_ms=POLL_MS,  # aiokafka's loop is also woken by what happens
        )
        try:
            await kafka.start()
            while True:
                assigned = kafka.assignment()
                await self._locate(kafka)
                self._connected = True
                self._cache.drop_all()
                while kafka.assignment() == assigned:  # a topic may get more partitions
                    await self._read(kafka)
        finally:
            metrics.FEED_CONNECTED.set(0)
            await kafka.stop()

    async def _locate(self, kafka: AIOKafkaConsumer) -> None:
        admin = AIOKafkaAdminClient(**self._connection.client_options())
        await admin.start()
        try:
            cluster_id = str((await admin.describe_cluster())["cluster_id"])
        finally:
            await admin.close()
        partitions = list(kafka.assignment())
        begins = await kafka.beginning_offsets(partitions)
        ends = await kafka.end_offsets(partitions)
        offsets = self._live.locate(cluster_id, begins=begins, ends=ends)
        for partition in partitions:
            kafka.seek(partition, offsets[partition])

    async def _read(self, kafka: AIOKafkaConsumer) -> None:
        batch = await kafka.getmany(timeout_ms=POLL_MS)
        metrics.FEED_CONNECTED.set(is_answered(kafka, within_s=SILENT_AFTER_S))
        for partition, messages in batch.items():
            for message in messages:
                envelope = self._opened(message)
                if envelope is not None:
                    self._handle(envelope)
                try:
                    self._live.apply(partition, message.offset, envelope)
                except FeedGap:
                    self._live.interrupt()
                    raise
        self._live.flush()
        await asyncio.sleep(0)  # streams send one batch before they are told the next

    def _opened(self, message: Any) -> Envelope[Event] | None:
        """Returns the event of a record; None for one that is not authentic or no event."""
        topic, headers = self._connection.unprefixed(message.topic), message.headers
        if not self._connection.mac.accepts(
            topic=topic, key=message.key, value=message.value, headers=headers
        ):
            metrics.FEED_REFUSED.inc()
            return None
        try:
            return decode(message.value, headers)
        except UnknownVersion as error:
            # Its producer also publishes the version that is known here (ADR-0061).
            metrics.FEED_SKIPPED.labels(error.topic).inc()
            return None
        except MalformedEvent as error:
            _log.warning("changes.malformed", error=str(error))
            return None

    def _handle(self, envelope: Envelope[Event]) -> None:
        topic = type(envelope.data).topic_name()
        with work_caused_by(envelope.traceparent, f"process {topic}", kind="consumer"):
            self._drop_grants(envelope.data)
            _log.debug("changes.handled", topic=topic, event_id=str(envelope.id))

    def _drop_grants(self, event: Event) -> None:
        if isinstance(event, GalleryUpdated | GalleryDeleted | ContributorRemoved):
            gallery_id: UUID = event.gallery_id
            self._cache.drop_gallery(gallery_id)
        elif isinstance(event, AccountDeleted):
            self._cache.drop_account(event.account_id)
