"""The local store behind a real HTTP server, for tests that use its signed URLs."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from kappi_chassis.disk import DiskSpace
from kappi_chassis.embedded.ports import LOOPBACK, accepts_tcp, free_port
from kappi_chassis.http.server import HttpServer
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_server import local_store_app
from kappi_chassis.storage.local_signing import LocalUrlSigner
from kappi_chassis.storage.local_space import LocalSpace

AMPLE = DiskSpace(free_bytes=1 << 50, total_bytes=1 << 50)
_START_TIMEOUT_S = 10.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class ServedLocalStore:
    """A running store. root: the folder. The store belongs to no event loop, so any test may use it."""

    root: Path
    store: LocalObjectStore
    signer: LocalUrlSigner
    base_url: str
    secret: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """Returns the variables that make a service use this store (see `StorageSettings`)."""
        return {
            "KAPPI_LOCAL_STORE_DIR": str(self.root),
            "KAPPI_LOCAL_STORE_URL": self.base_url,
            "KAPPI_LOCAL_STORE_SECRET": self.secret,
        }


@contextmanager
def serving_local_store(root: Path, *, space: LocalSpace | None = None) -> Iterator[ServedLocalStore]:
    """Serves a store on `root` in a thread while the context lasts.

    space: None for more than any test needs, on any disk.
    """
    ample = LocalSpace(root, measure=lambda _: AMPLE)
    store = LocalObjectStore(root, space=space or ample)
    secret = secrets.token_hex(32)
    port = free_port()
    base_url = f"http://{LOOPBACK}:{port}/store/"
    app = local_store_app(store, signer_secret=secret.encode(), clock=lambda: datetime.now(UTC))
    server = HttpServer(app, host=LOOPBACK, port=port)

    loops: list[asyncio.AbstractEventLoop] = []

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            loops.append(runner.get_loop())
            runner.run(store.ready())
            runner.run(server.serve())

    thread = threading.Thread(target=serve, name="local-store-server")
    thread.start()
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not accepts_tcp(port):
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the local store's server did not start")
            time.sleep(_POLL_S)
        signer = LocalUrlSigner(base_url=base_url, secret=secret.encode())
        yield ServedLocalStore(root, store, signer, base_url, secret)
    finally:
        for loop in loops:
            loop.call_soon_threadsafe(server.stop)  # a loop that waits is woken by nothing else
        thread.join()
        asyncio.run(store.close())
