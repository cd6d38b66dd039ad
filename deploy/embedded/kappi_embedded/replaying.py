"""Sending again what the outboxes hold, in pages that neither the broker nor its readers choke on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from kappi_chassis.outbox.relay import replay
from kappi_contracts.topics import BY_NAME

from kappi_embedded.backlog import BacklogReader

BEGINNING = datetime.fromtimestamp(0, UTC)
# About half a megabyte of events; the embedded broker forgets beyond 5 MB per partition.
PAGE = 500
_POLL_S = 0.05


class UnknownTopic(ValueError):
    """Not a topic of the registry."""


async def replay_paced(
    reader: BacklogReader,
    databases: Mapping[str, str],
    *,
    service: str,
    since: datetime,
    topics: Sequence[str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Replay one service's outbox; returns how many events. progress: told the count of each page."""
    url = databases[service]
    sent_before = await reader.clock(service)
    total = 0
    while count := await replay(url, since=since, sent_before=sent_before, topics=topics, limit=PAGE):
        total += count
        progress(count)
        await _consumed(reader)
    return total


def owners(topics: Iterable[str]) -> dict[str, list[str]]:
    """The topics by the service that owns them. Raises UnknownTopic."""
    found: dict[str, list[str]] = {}
    for name in topics:
        if name not in BY_NAME:
            raise UnknownTopic(f"there is no topic {name!r}; there are: {', '.join(sorted(BY_NAME))}")
        found.setdefault(BY_NAME[name].owner, []).append(name)
    return found


async def _consumed(reader: BacklogReader) -> None:
    """Wait until the readers are at most a page behind. For as long as it takes: a reader that waits for
    its database loses records if the broker's memory fills meanwhile."""
    while True:
        now = await reader.read()
        if now.unsent == 0 and now.behind <= PAGE:
            return
        await asyncio.sleep(_POLL_S)
