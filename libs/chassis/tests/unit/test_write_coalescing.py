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


async def test_head_and_body_go_together(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"head")
    transport.write(b"b" * 100_000)
    assert wire.calls == [b"head" + b"b" * 100_000]


async def test_a_lone_write_goes_when_the_loop_turns(wire: Wire, transport: CoalescingTransport) -> None:
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


async def test_large_writes_do_not_wait(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"x" * HOLD_BELOW_BYTES)
    assert len(wire.calls) == 1


async def test_closing_sends_what_is_held(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"last words")
    transport.close()
    assert (wire.calls, wire.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert wire.calls == [b"last words"]


async def test_aborting_does_not(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"last words")
    transport.abort()
    await asyncio.sleep(0)
    assert (wire.calls, wire.closed) == ([], True)


async def test_nothing_is_written_after_the_wire_was_cut(wire: Wire, transport: CoalescingTransport) -> None:
    transport.write(b"late")
    wire.close()
    await asyncio.sleep(0)
    assert wire.calls == []
