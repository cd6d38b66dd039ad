"""All processes are replaced, one after the other, by the same or another release, and no request fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.plugin import server_plan

from tests.chaos.system import ROLES, System, running_system
from tests.deploy.composition import ROOT
from tests.e2e.phone import File, Gallery, Phone
from tests.upgrade.release_data import RELEASES, extract_code

REQUESTS = 10_000
CLIENTS = 4
_PAUSE_S = 0.03
_UPGRADE_ORDER = ("media", "gateway", "galleries", "identity", "janitor")  # of docs/operations.md
_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1_500)]


class Clients:
    """Clients that never repeat a request. failures: requests without the expected answer."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._numbers: Iterator[int] = itertools.count()
        self.count = 0
        self.failures: list[str] = []
        self.over = asyncio.Event()

    async def run(self) -> None:
        """Runs until `over` is set."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client())

    async def _client(self) -> None:
        async with Phone(self._system.base_url) as phone:
            gallery = await phone.create_gallery(title="Served")
            while not self.over.is_set():
                await self._one_round(phone, gallery)

    async def _one_round(self, phone: Phone, gallery: Gallery) -> None:
        number = next(self._numbers)
        file = File(f"{number}.jpg", "image/jpeg", encode(quadrants(40, 30 + number % 9), "JPEG"))
        uploads = f"/v1/galleries/{gallery.id}/uploads"
        body = {"files": [file.declaration()]}
        signed = await self._call(phone, "POST", uploads, 201, json=body, headers=gallery.key)
        if number % 5 == 0 and signed is not None:
            (upload,) = signed["uploads"]
            await phone.put(upload, file.body)
            await self._call(phone, "POST", f"/v1/uploads/{upload['id']}/complete", 200, headers=gallery.key)
        elif signed is not None:
            (upload,) = signed["uploads"]
            await self._call(phone, "DELETE", f"/v1/uploads/{upload['id']}", 204, headers=gallery.key)
        for _ in range(6):
            await self._call(phone, "GET", f"/v1/g/{gallery.code}?limit=10", 200)

    async def _call(self, phone: Phone, method: str, path: str, expected: int, **more: Any) -> Any:
        self.count += 1
        started = time.monotonic()
        try:
            answer = await phone.ask(method, path, **more)
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            self.failures.append(f"{method} {path}: {failure!r} after {time.monotonic() - started:.1f} s")
            return None
        await asyncio.sleep(_PAUSE_S)
        if answer.status != expected:
            self.failures.append(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
            return None
        return answer.json() if answer.body else {}


@asynccontextmanager
async def served(system: System) -> AsyncIterator[Clients]:
    """Runs clients meanwhile. Afterwards, none of their requests has failed."""
    clients = Clients(system)
    running = asyncio.create_task(clients.run())
    try:
        yield clients
    finally:
        clients.over.set()
        await running
    _log.info("%d requests, failed: %d", clients.count, len(clients.failures))
    assert clients.failures == []


@pytest.fixture
def disk(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    plan = server_plan(pytestconfig)
    if plan.kafka != "java" or plan.s3 != "binary":
        pytest.skip("no Kafka and S3 server of the test's own (make real-servers)")
    disk = tmp_path / "disk"
    disk.mkdir()
    return disk


async def test_no_request_fails_while_all_processes_are_replaced(disk: Path, tmp_path: Path) -> None:
    async with running_system(tmp_path, disk=disk) as system, served(system) as clients:
        rounds = 0
        while clients.count < REQUESTS or rounds == 0:
            await _replace_all(system, ROLES)
            rounds += 1


async def test_no_request_fails_during_an_upgrade_and_the_way_back(disk: Path, tmp_path: Path) -> None:
    last_release = tmp_path / "release"
    if not extract_code(RELEASES[-1], last_release):
        pytest.skip("this clone has not the history with the code of the last release")
    async with running_system(tmp_path, disk=disk, tree=last_release) as system, served(system) as clients:
        rounds = 0
        while clients.count < REQUESTS or rounds == 0:
            await system.deploy(ROOT)
            await _replace_all(system, _UPGRADE_ORDER)
            await system.deploy(last_release, with_jobs=False)
            await _replace_all(system, reversed(_UPGRADE_ORDER))
            rounds += 1


async def _replace_all(system: System, services: Iterable[str]) -> None:
    for service in services:
        for replica in system.replicas:
            if replica.service == service:
                await system.replace(replica)
