"""The life of a service: order of starting and stopping, and what a failing task does."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.runtime import Service
from kappi_chassis.settings import ServiceSettings
from kappi_chassis.testing.eventually import eventually


class Pool:
    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    async def start(self) -> None:
        self._log.append(f"start {self._name}")

    async def close(self) -> None:
        self._log.append(f"close {self._name}")


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


async def test_it_starts_serves_drains_and_closes_in_order() -> None:
    log: list[str] = []
    settings = ServiceSettings(port=free_port(), ops_port=free_port())
    service = Service("test", settings)
    service.owns(Pool("database", log))
    service.owns(Pool("producer", log))

    async def works_for_ever() -> None:
        log.append("task runs")
        try:
            await asyncio.Event().wait()
        finally:
            log.append("task ends")

    service.runs("worker", works_for_ever)
    service.serves(hello)
    stop = asyncio.Event()
    running = asyncio.create_task(service.run_until(stop.wait))

    async def up() -> None:
        try:
            assert await asyncio.to_thread(status, settings.port, "/") == 200
        except OSError as refused:
            raise AssertionError from refused

    await eventually(up)
    assert await asyncio.to_thread(status, settings.ops_port, "/healthz") == 200
    assert await asyncio.to_thread(status, settings.ops_port, "/readyz") == 200
    assert await asyncio.to_thread(status, settings.ops_port, "/metrics") == 200
    assert await asyncio.to_thread(status, settings.port, "/metrics") == 200  # the app answers, not ops
    stop.set()
    await asyncio.wait_for(running, 10)
    assert log == [
        "start database",
        "start producer",
        "task runs",
        "task ends",
        "close producer",
        "close database",
    ]
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(status, settings.port, "/")


async def test_a_failing_task_ends_the_process_and_still_closes() -> None:
    log: list[str] = []
    service = Service("test", ServiceSettings(port=free_port(), ops_port=free_port()))
    service.owns(Pool("database", log))

    async def fails() -> None:
        raise LookupError("the consumer cannot bury")

    service.runs("worker", fails)
    service.serves(hello)
    with pytest.raises(ExceptionGroup) as failure:
        async with asyncio.timeout(10):
            await service.run_until(asyncio.Event().wait)
    assert failure.group_contains(LookupError)
    assert log == ["start database", "close database"]
