"""Joins small writes, so that an answer needs one system call instead of two.

uvicorn writes an answer's head and body separately, and uvloop sends each at once: two system calls and two
packets, a third of the cost of a small answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

HOLD_BELOW_BYTES = 8 * 1024


class CoalescingTransport(asyncio.Transport):
    """Holds a small write until the next one or the loop's next turn, whichever comes first."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._flush_is_due = False
        self._holds_reading = False
        self._pauses_reading = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        held = self._held
        if held is not None:
            self._held = None
            self._transport.writelines((held, data))
        elif isinstance(data, bytes) and len(data) < HOLD_BELOW_BYTES:
            self._held = data
            if not self._flush_is_due:
                self._flush_is_due = True
                self._loop.call_soon(self._on_turn)
        else:
            self._transport.write(data)

    def write_at_once(self, data: bytes) -> None:
        """Sends what was held and the data, without a wait for more: they end an answer."""
        held, self._held = self._held, None
        self._transport.write(data if held is None else held + data)

    def _on_turn(self) -> None:
        self._flush_is_due = False
        self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._held = None
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._pauses_reading = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._pauses_reading = False
        if not self._holds_reading:
            self._transport.resume_reading()

    def hold_reading(self) -> None:
        """Reads nothing until `release_reading`, even if `resume_reading` is called meanwhile."""
        self._holds_reading = True
        self._transport.pause_reading()

    def release_reading(self) -> None:
        self._holds_reading = False
        if not self._pauses_reading:
            self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + len(self._held or b"")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
