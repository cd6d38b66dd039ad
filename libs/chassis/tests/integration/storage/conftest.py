"""A local store behind uvicorn, one per test process."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_port
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_server import local_store_app
from kappi_chassis.storage.local_signing import LocalUrlSigner


@dataclass(frozen=True, slots=True)
class ServedLocalStore:
    root: Path
    store: LocalObjectStore
    signer: LocalUrlSigner
    port: int


@pytest.fixture(scope="session")
def served_local_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLocalStore]:
    root = tmp_path_factory.mktemp("store")
    store = LocalObjectStore(root)
    secret = secrets.token_bytes(32)
    port = free_port()
    app = local_store_app(store, signer_secret=secret, clock=lambda: datetime.now(UTC))
    server = uvicorn.Server(
        uvicorn.Config(app, host=LOOPBACK, port=port, access_log=False, log_level="warning")  # type: ignore[arg-type]  # uvicorn types scopes narrower than ASGI does
    )
    thread = threading.Thread(target=server.run, name="local-store-server")
    thread.start()
    deadline = time.monotonic() + 10
    while not accepts_tcp(port):
        assert time.monotonic() < deadline
    yield ServedLocalStore(
        root, store, LocalUrlSigner(base_url=f"http://{LOOPBACK}:{port}/store/", secret=secret), port
    )
    server.should_exit = True
    thread.join(10)
