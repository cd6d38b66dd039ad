"""Child processes end when they should, and not before."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kappi_chassis.embedded.child import ChildNotReady
from kappi_chassis.embedded.ports import accepts_tcp, free_port
from kappi_testkit.eventually import eventually
from kappi_testkit.processes import ManagedProcess, answers_http

pytestmark = pytest.mark.integration

_STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
print("settled", flush=True)
time.sleep(600)
"""

_OWNER = """
import sys, time
from pathlib import Path
from kappi_chassis.embedded.ports import accepts_tcp
from kappi_testkit.processes import ManagedProcess

port = sys.argv[1]
server = ManagedProcess(
    [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"],
    log=Path(sys.argv[2]),
    ready=lambda: accepts_tcp(int(port)),
)
server.start()
print("ready", flush=True)
time.sleep(600)
"""


def _web_server(folder: Path, port: int) -> ManagedProcess:
    return ManagedProcess(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)],
        log=folder / "log",
        ready=lambda: answers_http(f"http://127.0.0.1:{port}/"),
    )


def test_a_process_is_ready_after_start_and_has_ended_after_stop(tmp_path: Path) -> None:
    port = free_port()
    server = _web_server(tmp_path, port)

    server.start()
    assert server.is_running()
    assert accepts_tcp(port)
    assert "GET /" in server.log_tail()

    assert server.stop() == -signal.SIGTERM
    assert not server.is_running()
    assert not accepts_tcp(port)


def test_a_process_restarts_after_kill_9_with_another_pid(tmp_path: Path) -> None:
    port = free_port()
    with _web_server(tmp_path, port) as server:
        before = server.pid
        server.kill()
        assert not server.is_running()

        server.restart()

        assert server.pid != before
        assert answers_http(f"http://127.0.0.1:{port}/")


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    settled = tmp_path / "settled"
    process = ManagedProcess(
        [sys.executable, "-c", _STUBBORN, str(settled)], log=tmp_path / "log", ready=settled.exists
    )
    process.start()

    assert process.stop(grace_s=0.2) == -signal.SIGKILL


def test_the_error_of_an_early_end_has_the_log(tmp_path: Path) -> None:
    process = ManagedProcess(
        [sys.executable, "-c", "raise SystemExit('no such setting: X')"],
        log=tmp_path / "log",
        ready=lambda: False,
    )

    with pytest.raises(ChildNotReady, match=r"(?s)status 1.*no such setting: X"):
        process.start()
    assert not process.is_running()


def test_a_process_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    settled = tmp_path / "settled"
    process = ManagedProcess(
        [sys.executable, "-c", _STUBBORN, str(settled)],
        log=tmp_path / "log",
        ready=lambda: False,
        start_timeout_s=0.3,
    )

    with pytest.raises(ChildNotReady, match="not ready"):
        process.start()
    assert not process.is_running()


def test_an_unknown_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="kappi-no-such-program"):
        ManagedProcess(["kappi-no-such-program"], log=tmp_path / "log", ready=lambda: True).start()


@pytest.fixture
def owner_of_a_server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that runs a web server, and the server's port."""
    port = free_port()
    argv = [sys.executable, "-c", _OWNER, str(port), str(tmp_path / "log")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        yield owner, port
        owner.kill()


async def test_a_process_dies_with_its_killed_owner(
    owner_of_a_server: tuple[subprocess.Popen[str], int],
) -> None:
    owner, port = owner_of_a_server
    assert accepts_tcp(port)

    owner.kill()

    def gone() -> None:
        assert not accepts_tcp(port)

    await eventually(gone)
