from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from kappi_chassis.http.write_coalescing import HOLD_BELOW_BYTES, CoalescingTransport
from typing_extensions import Buffer


class Wire(asyncio.Transport):
    """Records every system call that would be made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: Buffer) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self.calls.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def transport(wire: Wire) -> CoalescingTransport:
    return CoalescingTransport(wire, asyncio.get_running_loop())


async def test_head_and_body_are_written_together(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"head")
    transport.write(b"b" * 100_000)
    assert wire.calls == [b"head" + b"b" * 100_000]


async def test_a_single_write_is_sent_in_the_next_loop_cycle(
    wire: Wire, transport: CoalescingTransport
) -> None:
    transport.write(b"head")
    assert wire.calls == []
    assert transport.get_write_buffer_size() == 4
    await asyncio.sleep(0)
    assert wire.calls == [b"head"]


async def test_order_is_kept(wire: Wire, transport: CoalescingTransport) -> None:
    pieces = [b"1", b"2", b"3" * HOLD_BELOW_BYTES, b"4", b"5", b"6"]
    for piece in pieces:
        transport.write(piece)
    await asyncio.sleep(0)
    assert b"".join(wire.calls) == b"".join(pieces)


async def test_large_writes_are_sent_at_once(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"x" * HOLD_BELOW_BYTES)
    assert len(wire.calls) == 1


async def test_closing_sends_buffered_bytes(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"last words")
    transport.close()
    assert (wire.calls, wire.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert wire.calls == [b"last words"]


async def test_aborting_drops_buffered_bytes(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"last words")
    transport.abort()
    await asyncio.sleep(0)
    assert (wire.calls, wire.closed) == ([], True)


async def test_no_write_happens_after_the_connection_was_lost(
    wire: Wire, transport: CoalescingTransport
) -> None:
    transport.write(b"late")
    wire.close()
    await asyncio.sleep(0)
    assert wire.calls == []
