"""The parent's side of one decoder process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.source import RangedSource

from kappi_media.rendering.failures import (
    DecoderCrashed,
    DecoderKilled,
    DecoderLacksLibrary,
    DecoderNotStarted,
    DecoderStalled,
)
from kappi_media.rendering.wire import (
    LENGTH,
    MAX_MESSAGE_BYTES,
    Answer,
    FilmJob,
    Job,
    Need,
    Order,
    Piece,
    Ready,
    Refused,
    Result,
    Unable,
    decode_answer,
    encode,
    framed,
)

# The rest of the environment holds credentials, which a decoder does not need.
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")
# One decoding thread each, because the renderer runs several processes. Two arenas keep freed memory from
# accumulating.
_SETTINGS: Final = {
    "VIPS_CONCURRENCY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "VIPS_WARNING": "0",
}
NICENESS: Final = 10
_EXIT_WAIT: Final = timedelta(seconds=5)
_WORKER: Final = "kappi_media.rendering.worker"
_WITH_LIBRAW: Final = "libraw"
# A file cannot make its decoder send itself one of these signals. The first is how a machine frees memory.
_FROM_OUTSIDE: Final = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})
# The signals with which libraries end a process that lacks memory, or that is in an impossible state.
_ENDED_ITSELF: Final = frozenset({-signal.SIGABRT, -signal.SIGTRAP})
_OUT_OF_TIME: Final = -signal.SIGPROF  # the timer that the decoder sets for each job


class DecoderProcess:
    """Runs one job at a time. After any error except a refusal its state is unknown, and it must be
    closed.

    develops: whether it has loaded LibRaw.
    """

    def __init__(self, process: Process, *, develops: bool = False) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._ready = False
        self.develops = develops
        self.jobs_done = 0

    @classmethod
    async def start(cls, *, memory_bytes: int, niceness: int = NICENESS) -> DecoderProcess:
        """niceness: how far its priority for the processor is below that of services."""
        return cls(await _started(str(memory_bytes), str(niceness)))

    @classmethod
    async def start_developing(cls, *, memory_bytes: int) -> DecoderProcess:
        """Returns a process that has loaded LibRaw, too."""
        return cls(await _started(str(memory_bytes), str(NICENESS), _WITH_LIBRAW), develops=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def readiness(self, *, wall_time_limit: timedelta) -> Ready:
        """Returns the message that the process sends once it can decode. It must not have a job yet.

        Raises DecoderNotStarted.
        """
        answer = await self._answer_within(wall_time_limit.total_seconds(), to=None)
        if not isinstance(answer, Ready):
            raise DecoderNotStarted("answers what it was not asked")
        self._ready = True
        return answer

    async def run(
        self,
        job: Job,
        source: RangedSource,
        *,
        time_limit: timedelta,
        wall_time_limit: timedelta,
        read_limit_bytes: int,
    ) -> Result:
        """Returns the result of a job.

        time_limit: of processor time. wall_time_limit: of elapsed time, for a machine without free processor
        time. The time of waiting for the source counts in neither. Raises RenderRejected, DecoderCrashed,
        DecoderUnavailable, and what the source raises.
        """
        clock = asyncio.get_running_loop().time
        seconds_left = wall_time_limit.total_seconds()
        order = encode(Order(job=job, cpu_seconds=time_limit.total_seconds()))
        said = order if self._ready else None
        while True:
            asked_at = clock()
            answer = await self._answer_within(seconds_left, to=said)
            seconds_left -= clock() - asked_at
            if isinstance(answer, Ready):
                self._ready = True
                said = order
                continue
            if isinstance(answer, Unable):
                raise DecoderLacksLibrary(answer.detail)
            if isinstance(answer, Need):
                read_limit_bytes -= answer.length
                said = await _needed(source, answer, left_bytes=read_limit_bytes)
                continue
            self.jobs_done += 1
            if isinstance(answer, Refused):
                raise RenderRejected(answer.reason, answer.detail)
            if isinstance(answer, Piece):
                raise DecoderCrashed("answers what it was not asked")
            return answer

    async def film(
        self,
        job: FilmJob,
        source: RangedSource,
        *,
        time_limit: timedelta,
        wall_time_limit: timedelta,
    ) -> AsyncGenerator[Piece]:
        """Yields the pieces of a film; the next one is begun once the caller comes back. time_limit,
        wall_time_limit: as in `run`, for each piece. Raises as `run` does.
        """
        clock = asyncio.get_running_loop().time
        left_bytes = job.max_read_bytes
        seconds_left = wall_time_limit.total_seconds()
        said = encode(Order(job=job, cpu_seconds=time_limit.total_seconds()))
        while True:
            asked_at = clock()
            answer = await self._answer_within(seconds_left, to=said)
            seconds_left -= clock() - asked_at
            match answer:
                case Need():
                    left_bytes -= answer.length
                    said = await _needed(source, answer, left_bytes=left_bytes)
                case Piece():
                    yield answer
                    if answer.last:
                        return
                    said, seconds_left = b"", wall_time_limit.total_seconds()
                case Unable():
                    raise DecoderLacksLibrary(answer.detail)
                case Refused():
                    raise RenderRejected(answer.reason, answer.detail)
                case _:
                    raise DecoderCrashed("answers what it was not asked")

    def retire(self) -> None:
        """Ask the process to end: it exits when its input ends."""
        self._stdin.close()

    async def close(self) -> None:
        """End the process now and reap it."""
        self._stdin.close()
        if self.running:
            self._process.kill()
        async with asyncio.timeout(_EXIT_WAIT.total_seconds()):
            await self._process.wait()

    async def _send(self, body: bytes) -> None:
        try:
            self._stdin.write(framed(body))
            await self._stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as broken:
            raise await self._meaning_of_end() from broken

    async def _answer_within(self, seconds: float, *, to: bytes | None) -> Answer:
        """Returns the next answer. The time limit includes sending, because a process that stopped reading
        would block it for ever.
        """
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                if to is not None:
                    await self._send(to)
                return await self._receive()
        except TimeoutError as late:
            if self._ready:
                raise DecoderStalled("gave no answer") from late
            raise DecoderNotStarted("took too long") from late

    async def _receive(self) -> Answer:
        try:
            (length,) = LENGTH.unpack(await self._stdout.readexactly(LENGTH.size))
            if length > MAX_MESSAGE_BYTES:
                raise DecoderCrashed("message too long")
            return decode_answer(await self._stdout.readexactly(length))
        except msgspec.DecodeError as nonsense:
            raise DecoderCrashed from nonsense
        except (asyncio.IncompleteReadError, ConnectionResetError) as broken:
            raise await self._meaning_of_end() from broken

    async def _meaning_of_end(self) -> Exception:
        """Returns the error that the end of the process means for its job."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_WAIT.total_seconds()):
                await self._process.wait()
        ended = self._process.returncode
        if not self._ready:
            return DecoderNotStarted(f"ended with {ended}")
        if ended == _OUT_OF_TIME:
            return RenderRejected(RejectReason.TOO_COMPLEX, "time limit")
        if ended in _ENDED_ITSELF:
            return RenderRejected(RejectReason.TOO_COMPLEX, f"ended itself with {ended}")
        if ended in _FROM_OUTSIDE:
            return DecoderKilled(f"ended with {ended}")
        return DecoderCrashed(f"ended with {ended}")


async def _started(*arguments: str) -> Process:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-B", "-m", _WORKER),
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=environment | _SETTINGS,
        start_new_session=True,  # the parent alone handles Ctrl-C
    )


async def _needed(source: RangedSource, need: Need, *, left_bytes: int) -> bytes:
    """Returns the bytes that the process needs. left_bytes: of the read limit, these subtracted."""
    if need.start < 0 or not 0 <= need.length <= MAX_MESSAGE_BYTES:
        raise DecoderCrashed("asks for bytes that no file has")
    if left_bytes < 0:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "read limit")
    return await source.read(need.start, need.length)
