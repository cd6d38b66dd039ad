"""A child's output: kept in a file that is rotated by size, its warnings shown briefly on the console."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

LIMIT_BYTES = 8 * 1024 * 1024
_LONGEST_LINE_BYTES = 256 * 1024
_NOTEWORTHY = (b'"level":"warning"', b'"level":"error"', b'"level":"critical"')
# The supervisor asks until the answer is yes; that it was no is no news.
_EXPECTED = (b'"event":"health.not_ready"',)
_ROUTINE = {"event", "level", "service", "time", "logger", "request_id", "trace_id", "exception", "stack"}
_SHOWN_CHARACTERS = 200


class ChildLog(asyncio.Protocol):
    """One service's log over all its restarts. warn: told of each line worth a look."""

    def __init__(self, name: str, folder: Path, *, warn: Callable[[str], None]) -> None:
        self.path = folder / f"{name}.log"
        self._name = name
        self._warn = warn
        self._file: IO[bytes] | None = None
        self._size = 0
        self._rest = b""

    async def open_pipe(self) -> int:
        """The writing end of a new pipe into this log; the caller passes it on and closes it."""
        read_end, write_end = os.pipe()
        await asyncio.get_running_loop().connect_read_pipe(lambda: self, os.fdopen(read_end, "rb", 0))
        return write_end

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > _LONGEST_LINE_BYTES:
            self._take(self._rest)
            self._rest = b""

    def eof_received(self) -> None:
        if self._rest:
            self._take(self._rest)
            self._rest = b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, line: bytes) -> None:
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)
            self._size = self._file.tell()
        self._size += self._file.write(line + b"\n")
        if self._size > LIMIT_BYTES:
            self.close()
            self.path.replace(self.path.with_suffix(".log.1"))
        if any(mark in line for mark in _NOTEWORTHY) and not any(mark in line for mark in _EXPECTED):
            self._warn(f"{self._name}: {brief(line)}")


def brief(line: bytes) -> str:
    """A structured log line in the words of a console."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.decode(errors="replace")[:_SHOWN_CHARACTERS]
    details = " ".join(f"{name}={value}" for name, value in entry.items() if name not in _ROUTINE)
    return f"{entry.get('event', '')} {details}"[:_SHOWN_CHARACTERS]
