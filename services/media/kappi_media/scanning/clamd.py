"""Sends a file to ClamAV's daemon over its socket in pieces, and reads the verdict.

Source: clamd(8), zINSTREAM.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final, TypeVar
from urllib.parse import urlsplit

from kappi_chassis.bus.processor import Transient

T = TypeVar("T")
_COMMAND: Final = b"zINSTREAM\x00"
_LENGTH: Final = struct.Struct(">I")
_END: Final = _LENGTH.pack(0)
_MAX_REPLY_BYTES: Final = 4096
_PREFIX: Final = "stream: "
_FOUND: Final = " FOUND"
_ERROR: Final = " ERROR"
_TOO_LARGE: Final = "INSTREAM size limit exceeded"


class ScannerUnavailable(Transient):
    """clamd cannot be reached, does not answer within the timeout, or answers something else than a
    verdict.
    """


class ScanFailed(Exception):
    """clamd is available, and fails on this content. It is not transient: the item waits longer and longer,
    up to an hour between attempts, and an operator sees it in the log.
    """


class Outcome(Enum):
    CLEAN = auto()
    INFECTED = auto()
    TOO_LARGE = auto()
    """The content is larger than clamd accepts (its StreamMaxLength), so there is no verdict."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a scan. signature: the name of what was found."""

    outcome: Outcome
    signature: str = ""


@dataclass(frozen=True, slots=True)
class ClamdAddress:
    """The address of clamd: a path on this machine, or a host and a port."""

    path: str | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> ClamdAddress:
        """Returns the address: `/run/clamav/clamd.ctl`, `unix:/run/…`, `tcp://host:3310` or `host:3310`.

        Raises ValueError.
        """
        if text.startswith(("/", "unix:/")):
            return cls(path="/" + text.removeprefix("unix:").lstrip("/"))
        parts = urlsplit(text if "://" in text else f"tcp://{text}")
        if parts.scheme != "tcp" or not parts.hostname or not parts.port or parts.path not in ("", "/"):
            raise ValueError(f"clamd is at /a/path or at tcp://host:port, not at {text!r}")
        return cls(host=parts.hostname, port=parts.port)

    @property
    def family(self) -> socket.AddressFamily:
        if self.path is not None:
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def target(self) -> str | tuple[str, int]:
        return self.path if self.path is not None else (self.host, self.port)


class Clamd:
    """Scans content. timeout: the longest silence of clamd while connecting, while it reads, and while it
    scans.
    """

    def __init__(self, address: ClamdAddress, *, timeout: timedelta) -> None:
        self._address = address
        self._timeout_s = timeout.total_seconds()

    async def scan(self, chunks: AsyncIterator[bytes]) -> Verdict:
        """Returns clamd's verdict on the content.

        Raises ScannerUnavailable, ScanFailed, and what `chunks` raises.
        """
        # A plain socket: asyncio's streams discard what arrived before a failed write, and clamd closes the
        # connection right after its answer when it has read enough.
        with socket.socket(self._address.family) as line:
            line.setblocking(False)
            await self._within_timeout(_loop().sock_connect(line, self._address.target), "cannot be reached")
            with suppress(ConnectionError):
                await self._tell(line, chunks)
            return _verdict(await self._reply(line))

    async def _tell(self, line: socket.socket, chunks: AsyncIterator[bytes]) -> None:
        await self._send(line, _COMMAND)
        async for chunk in chunks:
            await self._send(line, _LENGTH.pack(len(chunk)) + chunk)
        await self._send(line, _END)

    async def _send(self, line: socket.socket, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await _loop().sock_sendall(line, data)
        except TimeoutError as error:
            raise ScannerUnavailable("clamd does not read on") from error

    async def _reply(self, line: socket.socket) -> bytes:
        reply = b""
        while not reply.endswith(b"\x00"):
            piece = await self._within_timeout(_loop().sock_recv(line, _MAX_REPLY_BYTES), "says nothing")
            if not piece or len(reply) > _MAX_REPLY_BYTES:
                raise ScannerUnavailable("clamd broke off")
            reply += piece
        return reply

    async def _within_timeout(self, doing: Awaitable[T], failure: str) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await doing
        except OSError as error:  # TimeoutError is one
            raise ScannerUnavailable(f"clamd {failure}") from error


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _verdict(reply: bytes) -> Verdict:
    text = reply.rstrip(b"\x00\n").decode("utf-8", "replace")
    if text.startswith(_TOO_LARGE):
        return Verdict(Outcome.TOO_LARGE)
    said = text.removeprefix(_PREFIX)
    if said == "OK":
        return Verdict(Outcome.CLEAN)
    if said.endswith(_FOUND):
        return Verdict(Outcome.INFECTED, said.removesuffix(_FOUND))
    if text.startswith(_PREFIX) and text.endswith(_ERROR):
        raise ScanFailed(f"clamd says {text!r}")
    raise ScannerUnavailable(f"clamd says {text!r}")
