"""uvicorn's HTTP protocol with what a public port needs: heads of requests are bounded in size and time, and
what is no HTTP is refused with a problem document like everything else."""

from __future__ import annotations

import asyncio
import secrets
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kappi_chassis.http.gathering import GatheringTransport
from kappi_chassis.problems import PROBLEM_JSON, BadRequest, Problem, problem_body

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0
# A refused client that is still sending gets the time to hear why: closing at once resets the connection, and
# the refusal may be lost with it.
LINGER_S = 1.0
LINGER_BYTES = 4 * 1024 * 1024


class HeadTooLarge(Problem):
    status, code, title = 431, "head_too_large", "The headers are too large"


class HeadTimeout(Problem):
    status, code, title = 408, "request_timeout", "The headers did not arrive in time"


class BoundedHttpProtocol(HttpToolsProtocol):
    """httptools itself keeps every header it is sent, for as long as it takes."""

    _head_bytes = 0
    _in_head = False
    _head_timer: asyncio.TimerHandle | None = None
    _refused = False
    _ignored_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(GatheringTransport(transport, self.loop))
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > LINGER_BYTES:
                self.transport.close()
            return
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        # Only heads that come in several pieces get here; one piece is bounded by the read buffer.
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(f"At most {MAX_HEAD_BYTES} bytes are taken."))
        elif self._head_timer is None:
            self._start_head_timer()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this for what it cannot parse."""
        self._refuse(BadRequest(msg))

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(HeadTimeout("Send it again."))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                # Nothing may be written into the middle of an answer: the connection ends after it.
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_refusal(problem))
        self.loop.call_later(LINGER_S, self.transport.close)


def _refusal(problem: Problem) -> bytes:
    request_id = secrets.token_hex(16)
    body = problem_body(problem, request_id)
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        f"content-type: {PROBLEM_JSON}\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
