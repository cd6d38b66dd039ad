"""The life cycle of a service: order of starting and stopping, and the effect of a failing task."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.error import HTTPError

import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.runtime import Service, TaskEnded
from kappi_chassis.settings import ServiceSettings
from kappi_testkit.eventually import eventually


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


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async def opened() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError as refused:
            raise AssertionError from refused

    return await eventually(opened)


def status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


async def test_an_idle_connection_is_kept_for_the_configured_time() -> None:
    settings = ServiceSettings(port=free_port(), ops_port=free_port(), keep_alive=timedelta(seconds=1))
    service = Service("test", settings)
    service.serves(hello)
    stop = asyncio.Event()
    running = asyncio.create_task(service.run_until(stop.wait))

    reader, writer = await connected(settings.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    async with asyncio.timeout(15):
        answer = await reader.read()  # until the server closes the connection
    assert answer.endswith(b"hi")
    writer.close()
    stop.set()
    await running


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
    service.drains(lambda: log.append("long answers end"))
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
    assert await asyncio.to_thread(status, settings.port, "/metrics") == 200  # answered by the app
    reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
    writer.write(b"no HTTP at all\r\n\r\n")
    assert b"application/problem+json" in await reader.read()
    writer.close()
    stop.set()
    await asyncio.wait_for(running, 10)
    assert log == [
        "start database",
        "start producer",
        "task runs",
        "long answers end",
        "task ends",
        "close producer",
        "close database",
    ]
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(status, settings.port, "/")


async def test_a_kept_connection_is_told_that_the_process_stops() -> None:
    port = free_port()
    settings = ServiceSettings(port=port, ops_port=free_port(), drain_delay=timedelta(seconds=30))
    service = Service("test", settings)
    service.serves(hello)
    stop = asyncio.Event()
    running = asyncio.create_task(service.run_until(stop.wait))

    reader, writer = await connected(port)
    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    async with asyncio.timeout(15):
        writer.write(request)
        assert b"connection: close" not in await reader.readuntil(b"hi")
        stop.set()
        await eventually(partial(is_draining, service))
        writer.write(request)
        assert b"connection: close" in await reader.read()
    writer.close()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def is_draining(service: Service) -> None:
    assert (await service.health.report())[1].get("process") == "draining"


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


async def test_a_stop_signal_during_the_start_ends_it_at_once() -> None:
    log: list[str] = []

    class Hanging(Pool):
        async def start(self) -> None:
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    service = Service("test", ServiceSettings(port=free_port(), ops_port=free_port()))
    service.owns(Pool("database", log))
    service.owns(Hanging("store", log))
    async with asyncio.timeout(5):
        await service.run_until(begun.wait)
    assert log == ["start database", "close database"]


async def test_if_a_resource_cannot_start_the_started_ones_are_closed() -> None:
    log: list[str] = []

    class Broken(Pool):
        async def start(self) -> None:
            raise ConnectionRefusedError("no database")

    service = Service("test", ServiceSettings(port=free_port(), ops_port=free_port()))
    service.owns(Pool("producer", log))
    service.owns(Broken("database", log))
    with pytest.raises(ConnectionRefusedError):
        await service.run_until(asyncio.Event().wait)
    assert log == ["start producer", "close producer"]


async def test_a_task_that_returns_ends_the_process() -> None:
    service = Service("test", ServiceSettings(port=free_port(), ops_port=free_port()))

    async def returns() -> None:
        """For example a consumer that stopped consuming."""

    service.runs("worker", returns)
    with pytest.raises(ExceptionGroup) as failure:
        async with asyncio.timeout(10):
            await service.run_until(asyncio.Event().wait)
    assert failure.group_contains(TaskEnded, match="worker")


async def test_a_task_that_fails_while_draining_is_a_failure() -> None:
    settings = ServiceSettings(port=free_port(), ops_port=free_port(), drain_delay=timedelta(seconds=30))
    service = Service("test", settings)
    stop = asyncio.Event()

    async def fails_later() -> None:
        stop.set()
        await asyncio.sleep(0.05)
        raise LookupError("while draining")

    service.runs("worker", fails_later)
    with pytest.raises(ExceptionGroup) as failure:
        async with asyncio.timeout(10):
            await service.run_until(stop.wait)
    assert failure.group_contains(LookupError)


@pytest.mark.parametrize("taken", ["port", "ops_port"])
async def test_a_port_in_use_is_a_failure_that_names_it(taken: str) -> None:
    log: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        port: int = other.getsockname()[1]
        settings = ServiceSettings(port=free_port(), ops_port=free_port()).model_copy(update={taken: port})
        service = Service("test", settings)
        service.owns(Pool("database", log))
        service.serves(hello)
        with pytest.raises(ExceptionGroup) as failure:
            async with asyncio.timeout(10):
                await service.run_until(asyncio.Event().wait)
    assert failure.group_contains(OSError, match=str(port))
    assert log == ["start database", "close database"]


_PROCESS = """
import asyncio, sys, time
from datetime import timedelta
from kappi_chassis import runtime
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.settings import ServiceSettings

configure_logging(service="test", level="INFO", renderer="json")
kind, port, ops_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if kind != "well":
    runtime.STOP_TIMEOUT = timedelta(seconds=0.5)
service = runtime.Service(
    "test", ServiceSettings(port=port, ops_port=ops_port, drain_timeout=timedelta(seconds=1))
)

async def work():
    print("up", flush=True)
    if kind.startswith("fails"):
        raise LookupError("https://store/k?X-Amz-Signature=hunter2")
    if kind == "blocks":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    await asyncio.Event().wait()

async def ignores_its_end():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

if kind.endswith("stubborn"):
    service.runs("stubborn", ignores_its_end)
service.runs("work", work)
service.main()
"""


def started(kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, kind, str(free_port()), str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) and line != "up\n":
        pass
    return process


def test_sigterm_ends_a_process_with_status_0() -> None:
    with started("well") as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "service.stopped" in output


def test_a_failure_ends_it_with_status_1_and_a_clean_log() -> None:
    with started("fails") as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "LookupError" in output
    assert "service.failed" in output
    assert "hunter2" not in output


@pytest.mark.parametrize("kind", ["stubborn", "blocks"])
def test_a_task_or_thread_that_does_not_end_is_cut_off(kind: str) -> None:
    with started(kind) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "service.cut_off" in output


def test_a_failure_is_cut_off_if_another_task_does_not_end() -> None:
    with started("fails, stubborn") as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "service.cut_off" in output
