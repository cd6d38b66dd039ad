"""The PostgreSQL of a test run."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import asyncpg
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_chassis.embedded.postgres import THROWAWAY, EmbeddedPostgres

from kappi_testkit.servers.databases import in_own_loop
from kappi_testkit.servers.docker import Container

URL_VARIABLE = "KAPPI_TEST_POSTGRES_URL"
PostgresSource = Literal["given", "docker", "embedded"]
_CONTAINER_TIMEOUT_S = 30.0
_POLL_S = 0.1


def start_postgres(source: PostgresSource, *, folder: Path, running: ExitStack) -> str:
    """Returns the address of a server whose account may create databases.

    The callback that ends it is pushed on `running`.
    """
    if source == "given":
        return os.environ[URL_VARIABLE]
    if source == "docker":
        port, password = free_port(), secrets.token_hex(16)
        container = Container.postgres(port=port, password=password)
        running.callback(container.stop)
        return _answering(f"postgresql://kappi:{password}@{LOOPBACK}:{port}/postgres")
    server = EmbeddedPostgres(folder, settings=THROWAWAY)
    server.start()
    running.callback(server.stop)
    return server.url("postgres")


def _answering(url: str) -> str:
    # The image's own set-up restarts the server once, so only a query shows that it is ready.
    deadline = time.monotonic() + _CONTAINER_TIMEOUT_S
    while True:
        try:
            in_own_loop(_query(url))
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return url


async def _query(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=2)
    try:
        await connection.execute("SELECT 1")
    finally:
        await connection.close()
