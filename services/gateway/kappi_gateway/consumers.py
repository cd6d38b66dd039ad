"""Drops grants that become stale when a gallery changes or an account ends.

Every instance needs every change, but only changes from now on. So this consumer reads without a group, from
the end, and commits nothing: there is nothing to redeliver, and a missed change costs at most the time for
which a grant is reused. After each interruption all grants are dropped, because the missed changes are
unknown.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.observability.logs import get_logger
from kappi_contracts.envelope import MalformedEvent, decode
from kappi_contracts.events import AccountDeleted, GalleryDeleted, GalleryUpdated
from kappi_contracts.topics import consumed_by

from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import GrantCache

POLL_MS = 1_000
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 15.0

_log = get_logger(__name__)


class GalleryChanges:
    """Reads the change topics and drops the grants concerned while it runs."""

    def __init__(self, connection: KafkaConnection, cache: GrantCache) -> None:
        self._connection = connection
        self._cache = cache
        self._connected = False

    async def run(self) -> None:
        """Runs until cancelled. The gateway works without the broker, so a lost broker is waited for."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
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
        )
        try:
            await kafka.start()
            self._connected = True
            self._cache.drop_all()
            metrics.FEED_CONNECTED.set(1)
            while True:
                for messages in (await kafka.getmany(timeout_ms=POLL_MS)).values():
                    for message in messages:
                        self._apply(message)
        finally:
            metrics.FEED_CONNECTED.set(0)
            await kafka.stop()

    def _apply(self, message: Any) -> None:
        topic, headers = self._connection.unprefixed(message.topic), message.headers
        if not self._connection.mac.accepts(
            topic=topic, key=message.key, value=message.value, headers=headers
        ):
            metrics.FEED_REFUSED.inc()
            return
        try:
            event = decode(message.value, headers).data
        except MalformedEvent as error:
            _log.warning("changes.malformed", error=str(error))
            return
        if isinstance(event, GalleryUpdated | GalleryDeleted):
            gallery_id: UUID = event.gallery_id
            self._cache.drop_gallery(gallery_id)
        elif isinstance(event, AccountDeleted):
            self._cache.drop_account(event.account_id)
