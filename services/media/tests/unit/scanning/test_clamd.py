"""clamd with failures: slow, unavailable, invalid answers. `test_scanning.py` has the real one."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from kappi_chassis.bus.processor import is_poison, is_transient
from kappi_chassis.storage import StorageUnavailable
from kappi_media.scanning import Clamd, ClamdAddress, ScanFailed, ScannerUnavailable, Verdict
from kappi_media.scanning.clamd import Outcome

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Talk], AbstractAsyncContextManager[Clamd]]
CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`async with serve(talk) as clamd` runs a server with this behaviour at a socket."""

    @asynccontextmanager
    async def start(talk: Talk) -> AsyncIterator[Clamd]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            finally:
                writer.close()

        path = tmp_path / "clamd.ctl"
        server = await asyncio.start_unix_server(handle, path)
        try:
            yield Clamd(ClamdAddress.parse(str(path)), timeout=timedelta(seconds=2))
        finally:
            server.close()

    return start


async def content(chunk_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), chunk_bytes):
        yield CONTENT[start : start + chunk_bytes]


async def received(reader: asyncio.StreamReader) -> bytes:
    """Returns the content of an INSTREAM command."""
    assert await reader.readuntil(b"\x00") == b"zINSTREAM\x00"
    body = b""
    while length := struct.unpack(">I", await reader.readexactly(4))[0]:
        body += await reader.readexactly(length)
    return body


def saying(reply: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await received(reader) == CONTENT
        writer.write(reply)
        await writer.drain()

    return talk


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (b"stream: OK\x00", Verdict(Outcome.CLEAN)),
        (b"stream: Win.Test.EICAR_HDB-1 FOUND\x00", Verdict(Outcome.INFECTED, "Win.Test.EICAR_HDB-1")),
        (b"stream: OK FOUND\x00", Verdict(Outcome.INFECTED, "OK")),
        (b"INSTREAM size limit exceeded. ERROR\x00", Verdict(Outcome.TOO_LARGE)),
    ],
)
async def test_verdicts(serve: Serve, reply: bytes, verdict: Verdict) -> None:
    async with serve(saying(reply)) as clamd:
        assert await clamd.scan(content()) == verdict


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"stream: O",
        b"stream: \x00",
        b"UNKNOWN COMMAND\x00",
        b"x" * 99_999,
    ],
)
async def test_anything_else_is_no_verdict(serve: Serve, reply: bytes) -> None:
    async with serve(saying(reply)) as clamd:
        with pytest.raises(ScannerUnavailable) as failure:
            await clamd.scan(content())
    assert is_transient(failure.value)
    assert not is_poison(failure.value)


async def test_a_file_it_fails_on_does_not_keep_others_waiting(serve: Serve) -> None:
    async with serve(saying(b"stream: Can't allocate memory ERROR\x00")) as clamd:
        with pytest.raises(ScanFailed) as failure:
            await clamd.scan(content())
    assert not is_transient(failure.value), "tried a few times, then put aside"
    assert not is_poison(failure.value)


async def test_one_that_has_heard_enough_is_listened_to(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1000)
        writer.write(b"INSTREAM size limit exceeded. ERROR\x00")
        await writer.drain()

    async with serve(talk) as clamd:
        assert (await clamd.scan(content(chunk_bytes=1000))).outcome is Outcome.TOO_LARGE


async def test_one_that_says_nothing_is_given_up(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve(talk) as clamd:
        with pytest.raises(ScannerUnavailable):
            await clamd.scan(content())


async def test_one_that_does_not_read_is_given_up(serve: Serve) -> None:
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    async with serve(talk) as clamd:
        with pytest.raises(ScannerUnavailable):
            await clamd.scan(endless())
        over.set()


@pytest.mark.parametrize("address", ["/nowhere/clamd.ctl", "127.0.0.1:1"])
async def test_one_that_is_not_there(address: str) -> None:
    with pytest.raises(ScannerUnavailable):
        await Clamd(ClamdAddress.parse(address), timeout=timedelta(seconds=1)).scan(content())


async def test_what_the_source_raises_passes_through(serve: Serve) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise StorageUnavailable("gone")

    async with serve(saying(b"stream: OK\x00")) as clamd:
        with pytest.raises(StorageUnavailable):
            await clamd.scan(broken())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/clamav/clamd.ctl", ClamdAddress(path="/run/clamav/clamd.ctl")),
        ("unix:///run/clamd", ClamdAddress(path="/run/clamd")),
        ("tcp://clamav:3310", ClamdAddress(host="clamav", port=3310)),
        ("[::1]:3310", ClamdAddress(host="::1", port=3310)),
    ],
)
def test_addresses(text: str, address: ClamdAddress) -> None:
    assert ClamdAddress.parse(text) == address


@pytest.mark.parametrize("text", ["", "clamav", "http://clamav:3310", "tcp://:3310", "tcp://clamav:3310/x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"clamd|[Pp]ort"):
        ClamdAddress.parse(text)
