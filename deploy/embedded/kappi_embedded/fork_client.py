"""The supervisor's side of the forkserver: requests children and receives reports of their end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kappi_embedded.child_log import ChildLog
from kappi_embedded.forkserver import send_frame
from kappi_embedded.process_title import PADDING

_HEADER = struct.Struct("!I")
_REPLY_TIMEOUT_S = 30.0
# glibc gives each thread an arena of its own, in which idle services would keep their peak memory.
_MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}


class ForkserverLost(RuntimeError):
    """The forkserver ended, and its children with it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a child. status: the exit status, or a signal's number negated."""

    name: str
    pid: int
    status: int

    def __str__(self) -> str:
        if self.status < 0:
            return f"was ended by {signal.Signals(-self.status).name}"
        return f"ended with status {self.status}"


class ForkClient:
    """One forkserver process, from `start` to `close`."""

    def __init__(self, *, on_ended: Callable[[Ended], None], on_lost: Callable[[], None]) -> None:
        self._on_ended = on_ended
        self._on_lost = on_lost
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._started: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._closing = False
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self, log: ChildLog, environ: Mapping[str, str]) -> None:
        """Starts the process. It imports while the caller continues; the first `fork` waits for it."""
        ours, theirs = socket.socketpair()
        output = await log.open_pipe()
        try:
            # Started by the main thread, which lives as long as this process: the kernel sends the death
            # signal when the starting thread ends.
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own module; returns at once
                # -P: nothing is imported from the current folder.
                [sys.executable, "-P", "-m", "kappi_embedded.forkserver", str(os.getpid()), PADDING],
                stdin=theirs.fileno(),
                stdout=output,
                stderr=output,
                env={**_MALLOC, **environ},
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(output)
        ours.setblocking(False)
        self._control = ours
        self._reading = asyncio.create_task(self._read(ours), name="forkserver")

    async def fork(self, name: str, module: str, *, env: Mapping[str, str], log: ChildLog) -> int:
        """Starts a child that runs module.main(). Returns its pid. Raises ForkserverLost."""
        async with self._turn:
            if not self._is_ready:
                await self._reply()
                self._is_ready = True
            if self._control is None:
                raise ForkserverLost
            output = await log.open_pipe()
            try:
                request = {"name": name, "module": module, "env": dict(env)}
                # A copy in blocking mode, because a request is larger than a socket's buffer on some systems.
                with self._control.dup() as blocking:
                    blocking.setblocking(True)
                    try:
                        send_frame(blocking, request, descriptor=output)
                    finally:
                        self._control.setblocking(False)
            except OSError as error:
                raise ForkserverLost from error
            finally:
                os.close(output)
            pid: int = (await self._reply())["pid"]
            return pid

    async def close(self) -> None:
        """Ends the forkserver; children that still run are killed."""
        self._closing = True
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def _reply(self) -> dict[str, Any]:
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            reply = await self._started.get()
        if reply is None:
            raise ForkserverLost
        return reply

    async def _read(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        received = b""
        while data := await self._receive(loop, control):
            received += data
            while (message := _take_frame(received)) is not None:
                body, received = message
                self._dispatch(json.loads(body))
        self._started.put_nowait(None)
        if not self._closing:
            if self._process is not None:
                self._process.wait()
            self._on_lost()

    async def _receive(self, loop: asyncio.AbstractEventLoop, control: socket.socket) -> bytes:
        try:
            return await loop.sock_recv(control, 65_536)
        except OSError:  # a reset means the end, too
            return b""

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message["event"] == "started":
            self._started.put_nowait(message)
        else:
            self._on_ended(Ended(name=message["name"], pid=message["pid"], status=message["status"]))


def _take_frame(received: bytes) -> tuple[bytes, bytes] | None:
    """Returns (body, rest), or None while the frame is incomplete."""
    if len(received) < _HEADER.size:
        return None
    (length,) = _HEADER.unpack_from(received)
    end = _HEADER.size + length
    if len(received) < end:
        return None
    return received[_HEADER.size : end], received[end:]
