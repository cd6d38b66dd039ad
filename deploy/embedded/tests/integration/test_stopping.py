"""Stopping the stack in difficult situations."""

import os
import signal
from pathlib import Path

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.stack import EmbeddedStack, descendants, is_alive

pytestmark = pytest.mark.integration


@pytest.fixture
def stack(tmp_path: Path) -> EmbeddedStack:
    return EmbeddedStack(tmp_path / "data")


async def test_a_second_signal_does_not_wait_for_a_service_that_hangs(stack: EmbeddedStack) -> None:
    stack.start()
    note = stack.note
    processes = descendants(note.pid)
    os.kill(note.services["gateway"].pid, signal.SIGSTOP)
    os.kill(note.pid, signal.SIGINT)

    def draining() -> None:
        assert "Stopping" in stack.output.read_text()

    await eventually(draining)
    assert is_alive(note.pid)
    os.kill(note.pid, signal.SIGINT)

    def gone() -> None:
        assert not is_alive(note.pid)
        assert not any(is_alive(pid) for pid in processes)

    await eventually(gone, 20)
    assert not stack.running
    assert "at once" in stack.output.read_text()


async def test_a_service_that_hangs_is_killed_after_a_while(stack: EmbeddedStack) -> None:
    stack.start()
    note = stack.note
    os.kill(note.services["media"].pid, signal.SIGSTOP)
    assert stack.stop() == 0
    assert "media did not drain" in stack.output.read_text()
    assert not is_alive(note.services["media"].pid)


async def test_a_setting_that_a_service_refuses_is_shown_and_ends_the_start(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path / "data", settings={"KAPPI_MEDIA_WORKER_CONCURRENCY": "none"})
    with pytest.raises(RuntimeError):
        stack.start()
    text = stack.output.read_text()
    assert "media ended with status 1 before it was ready" in text
    assert "worker_concurrency" in text
    assert not stack.running
