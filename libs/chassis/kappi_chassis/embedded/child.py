"""Child processes that cannot outlive this process."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_S = 0.01


class ChildNotReady(RuntimeError):
    """The child ended, or its deadline passed, before it was ready. The message ends with its last output."""


@dataclass(frozen=True, slots=True)
class Account:
    """A system account for a child process.

    reach: the child may pass folders that are closed to the account.
    """

    uid: int
    gid: int
    reach: bool = False

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}" + (":reach" if self.reach else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to run.

    output: file that it appends to. death_signal: sent to it when this process dies (Linux).
    """

    argv: Sequence[str]
    output: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    death_signal: signal.Signals = signal.SIGTERM


@functools.cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    # Linux sends the death signal when the *thread* that forked ends, so one thread that lives as long as the
    # process forks for all. It is cached per pid, because a forked copy of this process has no such thread.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Starts a program that dies with this process (also by kill -9); the returned pid is the program's own.

    Raises FileNotFoundError if there is no such program.
    """
    executable = shutil.which(program.argv[0])
    if executable is None:
        raise FileNotFoundError(f"no such program: {program.argv[0]}")
    argv = [
        *(sys.executable, "-I", "-S", str(_LAUNCHER)),
        *(str(os.getpid()), str(int(program.death_signal)), str(program.account or "-")),
        *(executable, *program.argv[1:]),
    ]
    return _spawner(os.getpid()).submit(_popen, argv, program).result()


def _popen(argv: list[str], program: Program) -> subprocess.Popen[bytes]:
    # Readable by its owner only, because the output may name people's files.
    with open(program.output, "ab", opener=functools.partial(os.open, mode=0o600)) as output:
        return subprocess.Popen(  # noqa: S603 - the caller's own program
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if program.env is None else dict(program.env),
            cwd=program.cwd,
            # Ctrl-C reaches a whole process group at once; only the parent decides when a child ends.
            start_new_session=True,
        )


def await_ready(
    process: subprocess.Popen[bytes], *, ready: Callable[[], bool], timeout_s: float, output: Path
) -> None:
    """Returns when `ready()` is true. Raises ChildNotReady; the process is left as it is."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if (status := process.poll()) is not None:
            raise ChildNotReady(f"ended with status {status} before it was ready\n{tail(output)}")
        if time.monotonic() > deadline:
            raise ChildNotReady(f"not ready after {timeout_s:.0f} s\n{tail(output)}")
        time.sleep(_POLL_S)


def end(process: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> int:
    """Sends each signal in turn with its wait in seconds, then SIGKILL if none helped.

    Returns the exit status.
    """
    for number, grace_s in steps:
        process.send_signal(number)
        try:
            return process.wait(grace_s)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    return process.wait()


def tail(output: Path, *, lines: int = 30) -> str:
    """Returns the last lines of a program's output."""
    try:
        return "\n".join(output.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
