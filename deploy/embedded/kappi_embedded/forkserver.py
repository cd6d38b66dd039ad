"""A process that imports the shared libraries once and forks the services from itself.

Five interpreters that each import FastAPI, SQLAlchemy and aiokafka need three times the memory and three
times the start-up CPU of five copies of one (copy-on-write). This process never starts a thread or an event
loop, so forking it is safe. Each service is still a process of its own, killed and restarted alone.

    python -m kappi_embedded.forkserver PARENT_PID PADDING

Standard input is a Unix stream socket. Requests are frames (see `send_frame`) with the child's output as a
file descriptor. Answers and reports are frames of JSON. End of file means that the supervisor is gone, and
everything ends.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from kappi_embedded.process_title import set_title

PRELOAD = (
    "aiohttp",
    "asyncpg",
    "kappi_chassis.auth",
    "kappi_chassis.bus",
    "kappi_chassis.db",
    "kappi_chassis.http",
    "kappi_chassis.idempotency",
    "kappi_chassis.inbox",
    "kappi_chassis.outbox",
    "kappi_chassis.runtime",
    "kappi_contracts.topics",
    "pydantic_settings",
)
"""The modules that most services import anyway.

None of them may start a thread or draw a random number on import.
"""

_HEADER = struct.Struct("!I")
_MAX_FRAME_BYTES = 4 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # only the supervisor ends this process


@dataclass(frozen=True, slots=True)
class Order:
    """The service that a new child becomes."""

    name: str
    module: str
    env: dict[str, str]
    output: int

    def become(self) -> None:
        """Runs the module's `main()` in this process."""
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        os.dup2(self.output, 1)
        os.dup2(self.output, 2)
        for descriptor in (devnull, self.output):
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv = [self.module]
        set_title(f"kappi: {self.name} (python -m {self.module})", short=f"kappi-{self.name}")
        importlib.import_module(self.module).main()


class Forkserver:
    """The loop that forks on request and reports the end of children."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._names: dict[int, str] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)

    def serve(self) -> Order | None:
        """Runs the loop.

        In the server, returns None when the supervisor is gone; in a child, returns its order.
        """
        signal.signal(signal.SIGCHLD, _noticed)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            self._report(event="started", name="forkserver", pid=os.getpid())
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake_read in ready:
                    self._reap()
                if self._control.fileno() not in ready:
                    continue
                received = receive_frame(self._control)
                if received is None:
                    self._end_all()
                    return None
                if (order := self._fork(*received)) is not None:
                    return order

    def _fork(self, request: dict[str, Any], output: int | None) -> Order | None:
        """Returns the order in the child, None in the server."""
        if output is None:
            raise ValueError("a request without its output")
        pid = os.fork()
        if pid == 0:
            self._leave_server()
            return Order(name=request["name"], module=request["module"], env=request["env"], output=output)
        os.close(output)
        self._names[pid] = request["name"]
        self._report(event="started", name=request["name"], pid=pid)
        return None

    def _leave_server(self) -> None:
        server = os.getppid()
        os.setsid()
        die_with(server)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        self._control.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _reap(self) -> None:
        while True:
            try:
                os.read(self._wake_read, 4096)
            except BlockingIOError:
                break
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (name := self._names.pop(pid, None)) is not None:
                self._report(event="ended", name=name, pid=pid, status=os.waitstatus_to_exitcode(status))

    def _report(self, **message: object) -> None:
        try:
            send_frame(self._control, message)
        except OSError:  # the supervisor left; the next read detects it too
            self._end_all()
            raise

    def _end_all(self) -> None:
        """Kills all children, for systems whose kernel does not do it (see `die_with`)."""
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)


def die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends for any reason (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the line above
        os._exit(1)


def send_frame(control: socket.socket, message: object, *, descriptor: int | None = None) -> None:
    """Sends one JSON message, with a file descriptor if given. Raises OSError."""
    body = json.dumps(message).encode()
    data = _HEADER.pack(len(body)) + body
    ancillary = []
    if descriptor is not None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    sent = control.sendmsg([data], ancillary)
    control.sendall(data[sent:])


def receive_frame(control: socket.socket) -> tuple[dict[str, Any], int | None] | None:
    """Returns the next message and its descriptor; None at the end of the stream."""
    data, descriptors, _, _ = socket.recv_fds(control, _HEADER.size, 1)
    if not data:
        return None
    rest = _exactly(control, _HEADER.size - len(data))
    (length,) = _HEADER.unpack(data + rest)
    if length > _MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    message: dict[str, Any] = json.loads(_exactly(control, length))
    return message, descriptors[0] if descriptors else None


def _exactly(control: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = control.recv(length)
        if not part:
            raise EOFError("the stream ended within a message")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _noticed(_: int, __: FrameType | None) -> None:
    """Does nothing: the wake-up descriptor informs the loop."""


def main() -> None:
    die_with(int(sys.argv[1]))
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for module in PRELOAD:
        importlib.import_module(module)
    # Garbage collection writes to the objects it visits, which would unshare these pages one by one.
    gc.collect()
    gc.freeze()
    set_title("kappi: forkserver", short="kappi-fork")
    order = None
    # A supervisor may leave while a report is sent to it; that is a normal end.
    with socket.socket(fileno=os.dup(0)) as control, suppress(ConnectionError):
        order = Forkserver(control).serve()
    if order is not None:
        order.become()


if __name__ == "__main__":
    main()
