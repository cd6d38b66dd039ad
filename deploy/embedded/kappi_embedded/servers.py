"""The embedded PostgreSQL and broker, each used only if the environment names no other."""

from __future__ import annotations

import asyncio

from kappi_chassis.disk import disk_space
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.postgres import DURABLE, THROWAWAY, EmbeddedPostgres

from kappi_embedded.data_dir import DataDir
from kappi_embedded.plan import WITH_DATABASE, Plan

# For tests: a commit survives kill -9, even of the server itself, but no power cut.
_UNSYNCED = {**THROWAWAY, "synchronous_commit": "on"}

_MIB = 1 << 20
_LOG_SHARE = 16
# The minimum is PostgreSQL's own (two segments). The others limit the log on a disk with enough space.
_LEAST_LOG_MIB, _MOST_LOG_MIB, _KEPT_LOG_MIB = 32, 512, 80


def log_sizes(disk_bytes: int) -> dict[str, str]:
    """Returns the limits of PostgreSQL's write-ahead log between checkpoints: a small part of the disk."""
    most_mib = min(max(disk_bytes // _LOG_SHARE // _MIB, _LEAST_LOG_MIB), _MOST_LOG_MIB)
    return {"max_wal_size": f"{most_mib}MB", "min_wal_size": f"{min(_KEPT_LOG_MIB, most_mib)}MB"}


class EmbeddedServers:
    """Starts and stops the servers that the plan needs."""

    def __init__(self, plan: Plan, data: DataDir) -> None:
        self._plan = plan
        self.postgres: EmbeddedPostgres | None = None
        self.broker: EmbeddedBroker | None = None
        if plan.needs_postgres:
            settings = {
                **(DURABLE if plan.durable else _UNSYNCED),
                **log_sizes(disk_space(data.root).total_bytes),
            }
            self.postgres = EmbeddedPostgres(data.postgres, settings=settings)

    def start_broker(self) -> str:
        """Returns the broker's address, or the one given. Raises BrokerUnavailable."""
        if self._plan.kafka_bootstrap is not None:
            return self._plan.kafka_bootstrap
        # Topics are created on first use, because creating them in advance takes a tenth of a second each.
        self.broker = EmbeddedBroker()
        return self.broker.bootstrap

    async def start_postgres(self) -> None:
        """Starts PostgreSQL in a thread, which may take a minute.

        Raises PostgresUnavailable or a subclass.
        """
        if self.postgres is None:
            return
        starting = asyncio.create_task(asyncio.to_thread(self.postgres.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be cancelled, and a server that it starts later must not be left behind.
            await asyncio.wait([starting])
            raise

    async def databases(self) -> dict[str, str]:
        """Returns every service's database URL; missing embedded databases are created."""
        urls = dict(self._plan.database_urls)
        for service in WITH_DATABASE:
            if service.name not in urls and self.postgres is not None:
                await self.postgres.create_database(service.name)
                urls[service.name] = self.postgres.url(service.name)
        return urls

    async def restart_postgres(self) -> None:
        """Starts PostgreSQL again after its death, on another port. Raises PostgresUnavailable."""
        if self.postgres is not None:
            await asyncio.to_thread(self.postgres.stop)
            await self.start_postgres()

    async def stop(self) -> None:
        if self.broker is not None:
            self.broker.close()
        if self.postgres is not None:
            await asyncio.to_thread(self.postgres.stop)
