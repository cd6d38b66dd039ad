"""Records of programs that know nothing of our events: an object store's notifications, say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kappi_chassis.bus.processor import DeadLetterSink, Incoming, Processor, Record

ForeignHandler = Callable[["ForeignRecord"], Awaitable[bool]]
"""Handles one; returns False when nothing was left to do. Raises `Poison` for what it cannot read."""


@dataclass(frozen=True, slots=True)
class ForeignRecord:
    """A record as it came. Its producer gave it no id of ours, so its place in the topic stands for one."""

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
    """A `Processor` of one topic that hands its records over unread. The three fates are the same.

    Its writer has no secret of ours: a handler takes a record for a hint, and looks at the store itself.
    """

    def __init__(
        self, *, group: str, topic: str, handler: ForeignHandler, dead_letters: DeadLetterSink
    ) -> None:
        async def handle(incoming: Incoming) -> bool:
            assert isinstance(incoming, ForeignRecord)
            return await handler(incoming)

        super().__init__(group=group, handlers={topic: handle}, dead_letters=dead_letters)

    def _read(self, record: Record) -> Incoming:
        return ForeignRecord(record)
