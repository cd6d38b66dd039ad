"""The processes that the forkserver starts; their code is in `forked.py` beside this file."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kappi_embedded.child_log import ChildLog
from kappi_embedded.children import Child, Ended, start_child
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import is_alive, parent_of

pytestmark = pytest.mark.integration


class Stack:
    """The children of one test, and their logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs: list[ChildLog] = []
        self.children: list[Child] = []

    async def start(self, name: str, **env: str) -> Child:
        log = ChildLog(name, self.folder, warn=lambda _: None)
        self.logs.append(log)
        child = await start_child(name, "forked", env={**os.environ, **env}, log=log)
        self.children.append(child)
        return child

    async def end(self) -> None:
        for child in self.children:
            if not child.ended.done():
                os.kill(child.pid, signal.SIGKILL)
                await child.ended
        for log in self.logs:
            log.close()

    def output(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    async def says(self, name: str, text: str) -> None:
        def said() -> None:
            assert text in self.output(name)

        await eventually(said)


@pytest.fixture
async def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    stack = Stack(tmp_path)
    yield stack
    await stack.end()


async def ended(child: Child) -> Ended:
    async with asyncio.timeout(30):
        return await child.ended


async def test_children_run_in_processes_and_environments_of_their_own(stack: Stack) -> None:
    first = await stack.start("first", DO="say", WORD="one")
    second = await stack.start("second", DO="say", WORD="two")
    assert len({first.pid, second.pid, os.getpid()}) == 3
    assert (await ended(first), await ended(second)) == (Ended(0), Ended(0))
    await stack.says("first", "word=one")
    await stack.says("second", "word=two")
    # Random generators must not have been seeded before the fork.
    lines = [line for name in ("first", "second") for line in stack.output(name).splitlines()]
    drawn = [line for line in lines if line.startswith("random=")]
    assert len(set(drawn)) == len(drawn) == 6


async def test_a_child_shows_its_name_and_leads_a_session(stack: Stack) -> None:
    child = await stack.start("media", DO="wait")
    proc = Path("/proc", str(child.pid))

    def named() -> None:
        assert (proc / "comm").read_text().strip() == "kappi-media"
        assert (proc / "cmdline").read_text().rstrip("\0") == "kappi: media (python -m forked)"

    await eventually(named)
    assert os.getsid(child.pid) == child.pid


async def test_the_end_of_each_child_is_reported(stack: Stack) -> None:
    failing = await stack.start("failing", DO="fail")
    crashing = await stack.start("crashing", DO="crash")
    killed = await stack.start("killed", DO="wait")
    os.kill(killed.pid, signal.SIGKILL)
    assert [await ended(child) for child in (failing, crashing, killed)] == [Ended(3), Ended(1), Ended(-9)]
    await stack.says("crashing", "ZeroDivisionError")


async def test_a_signal_reaches_only_its_child(stack: Stack) -> None:
    polite = await stack.start("polite", DO="wait")
    other = await stack.start("other", DO="wait")
    await stack.says("polite", "waiting")
    os.kill(polite.pid, signal.SIGTERM)
    assert await ended(polite) == Ended(0)
    assert is_alive(other.pid)


async def test_the_end_of_a_child_that_is_not_waited_for_any_more_is_no_error(stack: Stack) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    child = await stack.start("one", DO="wait")
    waiting = asyncio.create_task(ended(child))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert child.ended.cancelled()
    os.kill(child.pid, signal.SIGKILL)
    # The end of the second child is reported after that of the first.
    assert await ended(await stack.start("two", DO="fail")) == Ended(3)
    assert failures == []


async def test_children_end_with_the_forkserver_and_the_next_start_uses_a_new_one(stack: Stack) -> None:
    children = [await stack.start(name, DO="wait") for name in ("one", "two")]
    os.kill(parent_of(children[0].pid), signal.SIGKILL)
    assert [await ended(child) for child in children] == [Ended(255), Ended(255)]

    def gone() -> None:
        assert not any(is_alive(child.pid) for child in children)

    await eventually(gone)
    assert await ended(await stack.start("three", DO="say", WORD="again")) == Ended(0)


async def test_the_forkserver_ignores_signals_to_the_whole_group(stack: Stack) -> None:
    child = await stack.start("one", DO="wait")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(parent_of(child.pid), number)
    assert await ended(await stack.start("two", DO="say", WORD="on")) == Ended(0)
    assert is_alive(child.pid)
