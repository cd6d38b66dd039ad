"""Starts programs under test, waits until they are ready, and kills and restarts them."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kappi_chassis.embedded.child import Program, await_ready, end, spawn, tail


class ManagedProcess:
    """A child process that dies with this one, also by kill -9.

    ready: polled after each start until it returns true. log: the output of every run is appended to it. env:
    added to the environment of this process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        start_timeout_s: float = 30.0,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        self._program = Program(
            argv=argv,
            output=log,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            death_signal=death_signal,
        )
        self._ready = ready
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._started().pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts and blocks until ready.

        Raises ChildNotReady with the end of the log, and ends the process then.
        """
        if self.is_running():
            raise RuntimeError("already running")
        process = spawn(self._program)
        try:
            await_ready(process, ready=self._ready, timeout_s=self._start_timeout_s, output=self.log)
        except BaseException:
            end(process)
            raise
        self._process = process

    def stop(self, *, grace_s: float = 15.0) -> int:
        """Sends SIGTERM, and SIGKILL after grace_s seconds.

        Returns the exit status; a signal's is negative.
        """
        return end(self._started(), (signal.SIGTERM, grace_s))

    def kill(self) -> None:
        """Kills the process with SIGKILL. It runs no further instruction."""
        end(self._started())

    def restart(self) -> None:
        """Stops the process in order, if it runs, and starts it again."""
        if self.is_running():
            self.stop()
        self.start()

    def log_tail(self, *, lines: int = 30) -> str:
        return tail(self.log, lines=lines)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running():
            self.stop()


def answers_http(url: str, *, timeout_s: float = 1.0) -> bool:
    """Returns whether a GET of this http:// address is answered with 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - tests' own servers
            status: int = answer.status
            return 200 <= status < 300
    except OSError:  # refused, reset, timed out; urllib's own errors are OSErrors
        return False
