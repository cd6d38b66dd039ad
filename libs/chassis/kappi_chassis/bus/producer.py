"""Sending to Kafka: idempotent, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from kappi_contracts.envelope import Headers

from kappi_chassis.bus.connection import KafkaConnection

DELIVERY_TIMEOUT_MS = 15_000


class Producer:
    """An idempotent producer that replaces itself after a fatal error."""

    def __init__(self, connection: KafkaConnection, *, source: str) -> None:
        """source: CloudEvents `source` of everything sent, for example `/galleries`."""
        self._connection = connection
        self._source = source
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        producer = AIOKafkaProducer(
            **self._connection.client_options(),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=128 * 1024,
            request_timeout_ms=DELIVERY_TIMEOUT_MS,
        )
        await producer.start()
        self._producer = producer

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def send_batch(self, rows: Sequence[Any]) -> list[BaseException | None]:
        """Send outbox rows in order; per row None once acknowledged, else why not. Source: EventSink."""
        return await self._send_all(
            (self._connection.topic(row["topic"]), row["key"].encode(), row["payload"], self._headers(row))
            for row in rows
        )

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Send one record to a full topic name, acknowledged. Raises KafkaError, OSError."""
        (failure,) = await self._send_all([(topic, key, value, headers)])
        if failure is not None:
            raise failure

    async def _send_all(
        self, records: Iterable[tuple[str, bytes | None, bytes | None, Headers]]
    ) -> list[BaseException | None]:
        records = list(records)
        try:
            if self._producer is None:
                await self.start()
            assert self._producer is not None
            async with asyncio.timeout(DELIVERY_TIMEOUT_MS / 1000 * 2):
                pending = [
                    await self._producer.send(topic, value=value, key=key, headers=list(headers))
                    for topic, key, value, headers in records
                ]
                outcomes: list[Any] = await asyncio.gather(*pending, return_exceptions=True)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._discard()
            return [error] * len(records)
        failures = [outcome if isinstance(outcome, BaseException) else None for outcome in outcomes]
        if any(failures):
            await self._discard()
        return failures

    async def _discard(self) -> None:
        """An idempotent producer that failed once may refuse for ever: take a new one next time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(2):
                    await producer.stop()
            except (KafkaError, OSError, TimeoutError):
                return

    def _headers(self, row: Any) -> Headers:
        event_id: UUID = row["event_id"]
        headers = (
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", str(event_id).encode()),
            ("ce_type", row["type"].encode()),
            ("ce_source", self._source.encode()),
            ("ce_subject", row["key"].encode()),
            ("ce_time", row["occurred_at"].isoformat().replace("+00:00", "Z").encode()),
            ("ce_sequence", str(row["sequence"]).encode()),
        )
        if row["traceparent"]:
            return (*headers, ("traceparent", row["traceparent"].encode()))
        return headers
