"""A process that has the outboxes sent again, because the embedded broker loses everything at a restart.

At start it replays everything since the last instant known to be settled, and later each topic that lost
records.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
from aiokafka.errors import KafkaError
from kappi_chassis.bus import KafkaConnection
from kappi_chassis.idle_pause import IdlePause
from kappi_chassis.observability.logs import configure_logging, get_logger
from kappi_chassis.settings import PlatformSettings

from kappi_embedded.backlog import Backlog, BacklogReader
from kappi_embedded.data_dir import DataDir, write_private
from kappi_embedded.plan import WITH_DATABASE
from kappi_embedded.replaying import BEGINNING, UnknownTopic, owners, replay_paced

_WATCH_S = 2.0
_SETTLE_EVERY_S, _IDLE_SETTLE_S = 10.0, 80.0
_RETRY_S = 1.0
# Far longer than any transaction, because an event occurs before the commit that makes it visible.
_MARGIN = timedelta(minutes=2)

# The supervisor runs both servers, so one that is away is being restarted.
_OUTAGES = (OSError, TimeoutError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError)

_log = get_logger(__name__)


class Replayer:
    """Replays lost events (see the module). databases: URLs by service."""

    def __init__(self, connection: KafkaConnection, databases: Mapping[str, str], data: DataDir) -> None:
        self._connection = connection
        self._databases = databases
        self._data = data
        self._seen: Backlog | None = None

    async def run(self) -> None:
        """Runs until cancelled. After a lost database or broker it waits and begins again."""
        while True:
            try:
                async with BacklogReader(self._connection, self._databases) as reader:
                    await self._replay_all(reader)
                    await self._watch(reader)
            except _OUTAGES as error:
                _log.info("replayer.interrupted", error=str(error), retry_in_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)

    async def _replay_all(self, reader: BacklogReader) -> None:
        since = settled_until(self._data.settled)
        for service in self._databases:
            count = await replay_paced(reader, self._databases, service=service, since=since)
            _log.info("replayer.replayed", database=service, events=count, since=since.isoformat())

    async def _watch(self, reader: BacklogReader) -> None:
        loop = asyncio.get_running_loop()
        next_look = loop.time()
        pause = IdlePause(_SETTLE_EVERY_S, longest_s=_IDLE_SETTLE_S)
        while True:
            for topic in self._lost_topics():
                await self._close_gap(reader, topic)
            if loop.time() >= next_look:
                moved = await self._note_settled(reader)
                next_look = loop.time() + pause.after(found=moved)
                await reader.close_databases()  # each connection is a process of PostgreSQL
            await asyncio.sleep(_WATCH_S)

    def _lost_topics(self) -> list[str]:
        """Returns the topics that consumers left notes about, and removes the notes first.

        A loss during the replay leaves a new note.
        """
        notes = sorted(self._data.signals.iterdir())
        for note in notes:
            note.unlink(missing_ok=True)
        return [note.name for note in notes]

    async def _close_gap(self, reader: BacklogReader, topic: str) -> None:
        try:
            found = owners([topic])
        except UnknownTopic:
            _log.warning("replayer.unknown_note", note=topic)
            return
        since = settled_until(self._data.settled)
        for service, topics in found.items():
            count = await replay_paced(reader, self._databases, service=service, since=since, topics=topics)
            _log.info("replayer.gap_closed", topic=topic, events=count)

    async def _note_settled(self, reader: BacklogReader) -> bool:
        """Stores an instant before which everything is consumed, so that the next start replays less.

        Returns whether events were sent or handled since the last look.
        """
        clocks = [await reader.clock(service) for service in self._databases]
        before, self._seen = self._seen, await reader.read()
        settled = self._seen.empty and not any(self._data.signals.iterdir())
        # The embedded broker loses dead letters too; a replay writes them again.
        if settled and await reader.dead_letters() == 0:
            self._keep(min(clocks))
        return self._seen != before

    def _keep(self, settled: datetime) -> None:
        try:
            write_private(self._data.settled, (settled - _MARGIN).isoformat())
        except OSError as error:  # on a full disk the next start replays more
            _log.info("replayer.not_noted", error=error.strerror)


def settled_until(path: Path) -> datetime:
    """Returns the stored instant; the beginning of time where none is readable."""
    try:
        found = datetime.fromisoformat(path.read_text())
    except (FileNotFoundError, ValueError):
        return BEGINNING
    return found if found.tzinfo is not None else BEGINNING


def main() -> None:
    platform = PlatformSettings()
    configure_logging(service="replayer", level=platform.log_level, renderer=platform.log_format)
    databases = {service.name: os.environ[service.database_url_name] for service in WITH_DATABASE}
    data = DataDir(Path(os.environ["KAPPI_DATA_DIR"]))
    asyncio.run(Replayer(KafkaConnection.from_settings(platform), databases, data).run())


if __name__ == "__main__":
    main()
