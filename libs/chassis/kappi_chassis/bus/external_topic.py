"""Reads records of external programs without event headers, for example an object store's notifications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit
from kappi_chassis.bus.processor import DeadLetterSink, Incoming, Processor, Record

ForeignHandler = Callable[["ForeignRecord"], Awaitable[bool]]
"""Handles one record; returns False when nothing was left to do. Raises `Poison` for a record it
cannot read.
"""


@dataclass(frozen=True, slots=True)
class ForeignRecord:
    """A record as it arrived. Its producer sets no event id, so its position in the topic is the id."""

    record: Record

    @property
    def id(self) -> str:
        return f"{self.record.topic}/{self.record.partition}/{self.record.offset}"

    @property
    def traceparent(self) -> str | None:
        return None

    @property
    def value(self) -> bytes:
        return self.record.value or b""


class ForeignProcessor(Processor):
    """A `Processor` of one topic that passes its records on undecoded. The three outcomes are the same.

    The producer has no secret of this deployment, so a handler treats a record as a hint and checks the store
    itself.
    """

    def __init__(
        self,
        *,
        group: str,
        topic: str,
        handler: ForeignHandler,
        dead_letters: DeadLetterSink,
        limit: DeadLetterLimit | None = None,
    ) -> None:
        async def handle(incoming: Incoming) -> bool:
            assert isinstance(incoming, ForeignRecord)
            return await handler(incoming)

        super().__init__(group=group, handlers={topic: handle}, dead_letters=dead_letters, limit=limit)

    def _read(self, record: Record) -> Incoming:
        return ForeignRecord(record)
