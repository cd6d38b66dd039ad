"""The `kappi` commands as processes that can be stopped at any time, and the journal of a share."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappi_client.journal import Note, read_note

from tests.e2e.stacks import StackUnderTest

_STOPPED_IN_S = 20.0
_PART = re.compile(r"[?&](?:part|partNumber)=(\d+)")


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a process. status: negative for a signal."""

    status: int
    output: str
    errors: str

    def document(self) -> dict[str, Any]:
        """Returns the result of a completed share."""
        assert self.status == 0, (self.status, self.output, self.errors)
        document: dict[str, Any] = json.loads(self.output)
        assert document["rejected"] == []
        return document


class SharingProcess:
    """One call of a command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ended = asyncio.create_task(process.communicate())

    @classmethod
    async def start(cls, stack: StackUnderTest, url: str, *arguments: str | Path) -> SharingProcess:
        """Starts `kappi share --json`."""
        return await cls.call(stack, "share", "--json", "--url", url, *arguments)

    @classmethod
    async def call(cls, stack: StackUnderTest, *arguments: str | Path) -> SharingProcess:
        """Starts any command, with the environment of the stack's operator."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("KAPPI_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kappi_embedded.cli"),
            *map(str, arguments),
            env={**environ, **stack.running.env, "NO_COLOR": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def ended(self, *, timeout_s: float) -> Ended:
        """Waits for the end. Raises TimeoutError."""
        output, errors = await asyncio.wait_for(self._ended, timeout_s)
        assert self._process.returncode is not None
        return Ended(self._process.returncode, output.decode(), errors.decode())

    def interrupt(self) -> None:
        """Sends the signal of Ctrl-C."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._send(signal.SIGKILL)

    async def stop_with(self, number: signal.Signals) -> Ended:
        self._send(number)
        return await self.ended(timeout_s=_STOPPED_IN_S)

    def _send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)


def journal_of(stack: StackUnderTest) -> Note | None:
    """Returns the journal of the one unfinished share in the stack's data folder, or None."""
    notes = [read_note(path) for path in sorted((stack.running.data_dir / "shares").glob("*.json"))]
    assert len(notes) <= 1
    return notes[0] if notes else None


def parts_in(requests: Sequence[str]) -> list[int]:
    """Returns the numbers of the parts that were put, in order, with repetitions."""
    return [
        int(found[1])
        for request in requests
        if request.startswith("PUT ") and (found := _PART.search(request)) is not None
    ]


def key_of(note: Note) -> Mapping[str, str]:
    assert note.gallery is not None
    return {"X-Gallery-Key": note.gallery["access_key"]}
