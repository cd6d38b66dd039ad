"""One kept connection to a service. It carries one call at a time.

Bytes that break HTTP/1.1 end the connection, so that no byte of one answer becomes part of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, cast, runtime_checkable

import httptools
from kappi_chassis.http.deadline import Deadline
from kappi_chassis.http.direct_bytes import DirectSocket
from kappi_chassis.http.splice import CAN_SPLICE, Pace, TargetEnded

from kappi_gateway.upstream.answer import Answer

MAX_HEAD_BYTES = 64 * 1024


class Stream(Protocol):
    """A body that is sent on while it arrives.

    length: declared length in bytes, None if it is known only at the end. Iterating raises the error of a
    client that ends it early, which is then raised to the caller of the service.
    """

    @property
    def length(self) -> int | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@runtime_checkable
class Spliced(Protocol):
    """A body that is moved from another connection. length: in bytes. received: its beginning."""

    length: int
    received: bytes

    async def move_to(self, target: DirectSocket, *, taking: Pace) -> None:
        """Moves what follows `received`. Raises TargetEnded, and the error of a client that ends it early."""


Body = bytes | Stream | Spliced | None


class Lost(Exception):
    """The connection ended, or its bytes were no HTTP. unanswered: whether no byte of an answer had come."""

    def __init__(self, *, unanswered: bool = False) -> None:
        super().__init__("the connection to the service was lost")
        self.unanswered = unanswered


class Silent(Exception):
    """The service neither sent nor took a byte for too long."""


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def ended(self, connection: Connection) -> None:
        """Takes the connection back after a call. If it is open, it can carry the next one."""

    def closed(self, connection: Connection) -> None:
        """Forgets the connection."""


class Connection(asyncio.Protocol):
    """keep_s: seconds for which it is kept without a call. is_new: whether it had no call yet."""

    def __init__(self, owner: Owner, *, keep_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner, self._keep_s = owner, keep_s
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set by the loop
        self._parser = self._new_parser()
        self._answer: Answer | None = None
        self._sending: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._writes_paused = False
        self._in_head = True
        self._head_bytes = 0
        self._keeps = True
        self._silence_s = keep_s
        self._deadline = Deadline(self._loop, self._on_deadline)
        self.is_open = True
        self.is_new = True

    def call(self, head: bytes, body: Body, answer: Answer, *, silence_s: float) -> None:
        """Sends a request. head: the whole head. silence_s: longest time without a byte from the service."""
        self._answer, self._silence_s = answer, silence_s
        if not self.is_open:
            self._end(Lost(unanswered=True))  # closed between its opening and this call
            return
        self._in_head, self._head_bytes, self.is_new = True, 0, False
        if body is None or isinstance(body, bytes):
            self._transport.write(head if body is None else head + body)
            self._deadline.move_to(silence_s)
            return
        self._transport.write(head)
        self._deadline.clear()  # the client's own limits apply while it sends
        sends = self._splice(body) if isinstance(body, Spliced) else self._send(body)
        self._sending = self._loop.create_task(sends, name="body")
        self._sending.add_done_callback(self._sent)

    def abort(self) -> None:
        """Closes the connection at once, also in the middle of a call."""
        self._transport.abort()
        self._end(Lost())

    def resume(self) -> None:
        if self.is_open:
            self._transport.resume_reading()
            self._deadline.move_to(self._silence_s)

    def take(self) -> tuple[DirectSocket, Pace] | None:
        """See `Source.take`."""
        if not CAN_SPLICE or self._sending is not None or self._transport.get_extra_info("sslcontext"):
            return None
        self._transport.pause_reading()
        self._deadline.clear()
        return DirectSocket(self._transport, self._loop), _ServicePace(self._silence_s)

    def end_taken(self) -> None:
        """See `Source.end_taken`."""
        if self._answer is None:
            return  # the connection has ended meanwhile
        self._parser = self._new_parser()  # the other one did not see the end
        self._complete()
        if self.is_open:
            self._transport.resume_reading()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.abort()  # no request is open, so this can be no answer
            return
        answer.touched = True
        if self._sending is None:
            self._deadline.move_to(self._silence_s)
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort()
            return
        if answer.is_complete:
            return
        if self._in_head:
            if self._head_bytes > MAX_HEAD_BYTES:
                self.abort()
        elif answer.is_full:
            answer.pauses = True
            self._transport.pause_reading()
            self._deadline.clear()  # it is the client that is slow

    def connection_lost(self, error: Exception | None) -> None:
        answer = self._answer
        if answer is not None and error is None and not self._in_head and answer.lasts_until_close:
            self._complete()
        self._end(Lost(unanswered=answer is not None and not answer.touched))

    def pause_writing(self) -> None:
        self._writes_paused = True

    def resume_writing(self) -> None:
        self._writes_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head or self._answer is None:
            return  # a trailer
        name = name.lower()
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise Lost
        self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None:
            raise Lost
        status = self._parser.get_status_code()
        if status < 200:
            answer.headers.clear()  # an interim answer, which another one follows
            return
        self._in_head = False
        self._keeps = self._parser.should_keep_alive()
        answer.begin(status)
        if answer.head_only:
            # The parser does not know the method, and would wait for the body that HEAD leaves out.
            self._parser = self._new_parser()
            self._complete()

    def on_body(self, body: bytes) -> None:
        if self._answer is None:
            raise Lost
        self._answer.add(body)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._in_head:
            self._complete()

    def _complete(self) -> None:
        answer, self._answer = self._answer, None
        assert answer is not None
        answer.end()
        unsent, self._sending = self._sending, None
        if unsent is not None:
            unsent.cancel()  # the service would take the rest of the body for the next request
        if self._keeps and unsent is None and self.is_open:
            self._deadline.move_to(self._keep_s)
        else:
            self._close()
        self._owner.ended(self)

    def _end(self, failure: Exception) -> None:
        """Closes the connection and ends its call, if there is one."""
        self._close()
        answer, self._answer = self._answer, None
        if answer is not None:
            sending, self._sending = self._sending, None
            if sending is not None:
                sending.cancel()
            answer.fail(failure)
            self._owner.ended(self)

    def _close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._transport.close()
        self._owner.closed(self)
        self._deadline.end()

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        # Control characters in values are found where the head is written: one check for all answers.
        parser.set_dangerous_leniencies(lenient_headers=True)
        return parser

    async def _send(self, body: Stream) -> None:
        left = body.length
        async for piece in body:
            if left is None:
                self._transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
            else:
                left -= len(piece)
                self._transport.write(piece)
            await self._until_writable()
        if left is None:
            self._transport.write(b"0\r\n\r\n")
        elif left:
            raise Lost

    async def _splice(self, body: Spliced) -> None:
        self._transport.write(body.received)
        self._transport.set_write_buffer_limits(high=0)
        try:
            await self._until_writable()
        finally:
            self._transport.set_write_buffer_limits()
        target = DirectSocket(self._transport, self._loop)
        try:
            await body.move_to(target, taking=_ServicePace(self._silence_s))
        except TargetEnded:
            self._deadline.move_to(self._silence_s)
            await self._loop.create_future()  # the service's answer, or the connection's end, ends this
        finally:
            target.close()

    async def _until_writable(self) -> None:
        if self._writes_paused:
            self._writable = self._loop.create_future()
            self._deadline.move_to(self._silence_s)
            await self._writable
            self._deadline.clear()

    def _sent(self, sending: asyncio.Task[None]) -> None:
        if sending.cancelled() or self._sending is not sending:
            return
        self._sending = None
        failure = sending.exception()
        if failure is None:
            self._deadline.move_to(self._silence_s)
        else:
            assert isinstance(failure, Exception)
            self._transport.abort()
            self._end(failure)

    def _on_deadline(self) -> None:
        self._transport.abort()
        self._end(Silent())


class _ServicePace:
    """silence_s: longest time in which the service neither sends nor takes a byte."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s

    async def until(self, ready: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self._silence_s):
                await ready()
        except TimeoutError as error:
            raise Silent from error

    def moved(self, _size_bytes: int) -> None:
        """Does nothing: a service has no minimum rate."""
