"""Writes a child's output to a file that is rotated by size, and shows its warnings briefly on the console.

When the file cannot be written (a full disk), lines are dropped and counted, and the log states their number
once it can be written again. The pipe is read even then, because a child that waits for its log would stop.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from kappi_chassis.disk import disk_space

LIMIT_BYTES = 8 * 1024 * 1024
_LOGS_SHARE = 400
"""The divisor of a small disk's size that limits each file; some ten processes have two files each."""
_LONGEST_LINE_BYTES = 256 * 1024
_NOTEWORTHY = (b'"level":"warning"', b'"level":"error"', b'"level":"critical"')
# The supervisor asks repeatedly until the service is ready, so this answer is normal.
_EXPECTED = (b'"event":"health.not_ready"',)
_ROUTINE = {"event", "level", "service", "time", "logger", "request_id", "trace_id", "exception", "stack"}
_SHOWN_CHARACTERS = 200


class ChildLog:
    """The log of one service over all its restarts. warn: called with each noteworthy line."""

    def __init__(self, name: str, folder: Path, *, warn: Callable[[str], None]) -> None:
        self.path = folder / f"{name}.log"
        self._name = name
        self._warn = warn
        self._limit_bytes = LIMIT_BYTES
        self._file: IO[bytes] | None = None
        self._size = 0
        self._dropped = 0
        self._pipes: set[_Pipe] = set()

    @property
    def is_reading(self) -> bool:
        """Whether a process may still write."""
        return bool(self._pipes)

    async def open_pipe(self) -> int:
        """Returns the writing end of a new pipe into this log; the caller passes it on and closes it."""
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        _, pipe = await loop.connect_read_pipe(lambda: _Pipe(self), os.fdopen(read_end, "rb", 0))
        self._pipes.add(pipe)
        return write_end

    def close(self) -> None:
        """Stops reading; later output is lost."""
        for pipe in list(self._pipes):
            pipe.close()
        self._close_file()

    def forget(self, pipe: _Pipe) -> None:
        self._pipes.discard(pipe)

    def take(self, line: bytes) -> None:
        """Writes a line, given without its end, or counts it as dropped."""
        try:
            self._write(line + b"\n" if not self._dropped else self._gap() + line + b"\n")
        except OSError as error:
            if not self._dropped:
                self._warn(f"{self._name}: its log cannot be written, lines are dropped: {error.strerror}")
            self._dropped += 1
            self._close_file()
        else:
            self._dropped = 0
        if any(mark in line for mark in _NOTEWORTHY) and not any(mark in line for mark in _EXPECTED):
            self._warn(f"{self._name}: {brief(line)}")

    def _write(self, text: bytes) -> None:
        """Writes all of the text or nothing. Raises OSError."""
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)
            self._size = self._file.tell()
            self._limit_bytes = min(LIMIT_BYTES, disk_space(self.path).total_bytes // _LOGS_SHARE)
        if self._file.write(text) < len(text):
            self._file.truncate(self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(text)
        if self._size > self._limit_bytes:
            self._close_file()
            self.path.replace(self.path.with_suffix(".log.1"))

    def _gap(self) -> bytes:
        """Returns the log entry that states the number of dropped lines, in the services' own format."""
        entry = {
            "lines": self._dropped,
            "service": self._name,
            "event": "log.lines_dropped",
            "level": "warning",
            "time": datetime.now(UTC).isoformat(),
        }
        return json.dumps(entry, separators=(",", ":")).encode() + b"\n"

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Pipe(asyncio.Protocol):
    """The output of one process.

    A killed process may leave children that still write beside its successor.
    """

    def __init__(self, log: ChildLog) -> None:
        self._log = log
        self._transport: asyncio.BaseTransport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._log.take(line)
        if len(self._rest) > _LONGEST_LINE_BYTES:
            self._log.take(self._rest)
            self._rest = b""

    def connection_lost(self, error: Exception | None) -> None:
        if self._rest:
            self._log.take(self._rest)
        self._log.forget(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def brief(line: bytes) -> str:
    """Returns a structured log line in short form for the console."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.decode(errors="replace")[:_SHOWN_CHARACTERS]
    details = " ".join(f"{name}={value}" for name, value in entry.items() if name not in _ROUTINE)
    return f"{entry.get('event', '')} {details}"[:_SHOWN_CHARACTERS]
