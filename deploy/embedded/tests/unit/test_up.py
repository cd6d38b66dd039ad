import asyncio
import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from kappi_embedded import up
from kappi_embedded.ballast import Ballast
from kappi_embedded.console import Console
from kappi_embedded.data_dir import DataDir
from kappi_embedded.plan import read_plan
from kappi_embedded.supervised import ServiceFailed


class Stack:
    """Replaces the supervisor: fails at its first starts, then runs."""

    def __init__(self, *, failures: int) -> None:
        self.failures = failures
        self.stops = 0

    async def start(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceFailed("media ended with status 1 before it was ready")

    async def watch(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


async def run(
    stack: Stack, folder: Path, said: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, short: bool
) -> int:
    def supervisor(*_: Any, **__: Any) -> Stack:
        return stack

    monkeypatch.setattr(up, "Supervisor", supervisor)
    monkeypatch.setattr(Ballast, "is_short", lambda _: short)
    plan = read_plan({"KAPPI_DATA_DIR": str(folder)})
    async with asyncio.timeout(20):
        return await up._run(plan, DataDir(folder), console=Console(said), environ={})


async def test_a_start_that_failed_on_a_full_disk_is_repeated(
    tmp_path: Path, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(failures=2)
    assert await run(stack, tmp_path, said, monkeypatch, short=True) == 0
    assert stack.stops == 3
    assert said.getvalue().count("because the disk is full") == 2
    assert "media ended with status 1" in said.getvalue()


async def test_a_start_that_failed_for_another_reason_ends(
    tmp_path: Path, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(failures=1)
    with pytest.raises(ServiceFailed):
        await run(stack, tmp_path, said, monkeypatch, short=False)
    assert stack.stops == 1
