"""Sends the events in the outboxes again, in pages that do not overload the broker or its consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from kappi_chassis.outbox.relay import replay
from kappi_contracts.topics import BY_NAME

from kappi_embedded.backlog import BacklogReader

BEGINNING = datetime.fromtimestamp(0, UTC)
# About half a megabyte of events; the embedded broker drops records beyond 5 MB per partition.
PAGE = 500
_POLL_S = 0.05


class UnknownTopic(ValueError):
    """The name is not a topic of the registry."""


async def replay_paced(
    reader: BacklogReader,
    databases: Mapping[str, str],
    *,
    service: str,
    since: datetime,
    topics: Sequence[str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Replays one service's outbox.

    Returns the number of events. progress: called with the count of each page.
    """
    url = databases[service]
    sent_before = await reader.clock(service)
    total = 0
    while count := await replay(url, since=since, sent_before=sent_before, topics=topics, limit=PAGE):
        total += count
        progress(count)
        await _consumed(reader)
    return total


def owners(topics: Iterable[str]) -> dict[str, list[str]]:
    """Returns the topics by the service that owns them. Raises UnknownTopic."""
    found: dict[str, list[str]] = {}
    for name in topics:
        if name not in BY_NAME:
            raise UnknownTopic(f"there is no topic {name!r}; there are: {', '.join(sorted(BY_NAME))}")
        found.setdefault(BY_NAME[name].owner, []).append(name)
    return found


async def _consumed(reader: BacklogReader) -> None:
    """Waits, without a limit, until the consumers are at most a page behind.

    Sending more while a consumer waits for its database would fill the broker's memory, and records would be
    lost.
    """
    while True:
        now = await reader.read()
        if now.unsent == 0 and now.behind <= PAGE:
            return
        await asyncio.sleep(_POLL_S)
