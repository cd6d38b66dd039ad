"""The forkserver with real processes; the children's code is in `forked.py` beside this file."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kappi_embedded.child_log import ChildLog
from kappi_embedded.fork_client import Ended, ForkClient, ForkserverLost
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import is_alive

pytestmark = pytest.mark.integration


class Nursery:
    """A forkserver and its reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended: list[Ended] = []
        self.lost = asyncio.Event()
        self.client = ForkClient(on_ended=self.ended.append, on_lost=self.lost.set)
        self.logs: list[ChildLog] = []

    def log(self, name: str) -> ChildLog:
        log = ChildLog(name, self.folder, warn=lambda _: None)
        self.logs.append(log)
        return log

    async def start(self) -> None:
        path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        await self.client.start(self.log("forkserver"), {**os.environ, "PYTHONPATH": path})

    async def fork(self, name: str, **env: str) -> int:
        return await self.client.fork(name, "forked", env=env, log=self.log(name))

    def output(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    nursery = Nursery(tmp_path)
    await nursery.start()
    try:
        yield nursery
    finally:
        await nursery.client.close()
        for log in nursery.logs:
            log.close()


async def test_children_run_in_processes_and_environments_of_their_own(nursery: Nursery) -> None:
    first = await nursery.fork("first", DO="say", WORD="one")
    second = await nursery.fork("second", DO="say", WORD="two")
    assert len({first, second, nursery.client.pid, os.getpid()}) == 4

    def both_ended() -> None:
        assert {(end.name, end.status) for end in nursery.ended} == {("first", 0), ("second", 0)}
        assert "word=one" in nursery.output("first")
        assert "word=two" in nursery.output("second")

    await eventually(both_ended)
    # Random generators must not have been seeded before the fork.
    lines = [line for name in ("first", "second") for line in nursery.output(name).splitlines()]
    drawn = [line for line in lines if line.startswith("random=")]
    assert len(set(drawn)) == len(drawn) == 6


async def test_a_child_shows_its_name_and_not_its_servers_command(nursery: Nursery) -> None:
    proc = Path("/proc", str(await nursery.fork("media", DO="wait")))

    def named() -> None:
        assert (proc / "comm").read_text().strip() == "kappi-media"
        assert (proc / "cmdline").read_text().rstrip("\0") == "kappi: media (python -m forked)"

    await eventually(named)


async def test_how_a_child_ended_is_told(nursery: Nursery) -> None:
    await nursery.fork("failing", DO="fail")
    await nursery.fork("crashing", DO="crash")
    pid = await nursery.fork("killed", DO="wait")
    os.kill(pid, signal.SIGKILL)

    def all_told() -> None:
        assert {end.name: end.status for end in nursery.ended} == {"failing": 3, "crashing": 1, "killed": -9}

    await eventually(all_told)
    await eventually(lambda: _contains(nursery, "crashing", "ZeroDivisionError"))


async def test_signals_reach_the_child_alone(nursery: Nursery) -> None:
    pid = await nursery.fork("polite", DO="wait")
    other = await nursery.fork("other", DO="wait")
    await eventually(lambda: _contains(nursery, "polite", "waiting"))
    os.kill(pid, signal.SIGTERM)

    def told() -> None:
        assert [(end.name, end.status) for end in nursery.ended] == [("polite", 0)]

    await eventually(told)
    assert is_alive(other)


async def test_children_do_not_survive_the_server(nursery: Nursery) -> None:
    pids = [await nursery.fork(name, DO="wait") for name in ("one", "two")]
    assert nursery.client.pid is not None
    os.kill(nursery.client.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        await nursery.lost.wait()
    with pytest.raises(ForkserverLost):
        await nursery.fork("three", DO="wait")

    def gone() -> None:
        assert not any(is_alive(pid) for pid in pids)

    await eventually(gone)


async def test_closing_ends_what_still_runs(nursery: Nursery) -> None:
    pid = await nursery.fork("one", DO="wait")
    await nursery.client.close()
    assert not nursery.lost.is_set()

    def gone() -> None:
        assert not is_alive(pid)

    await eventually(gone)


def _contains(nursery: Nursery, name: str, text: str) -> None:
    assert text in nursery.output(name)
