"""Requests that could be read in two ways are refused, so that none is hidden in the body of another."""

from __future__ import annotations

import pytest
from kappi_chassis.http.request_parser import RequestHead, RequestParser
from kappi_chassis.problems import BadRequest

HIDDEN = b"GET /hidden HTTP/1.1\r\n\r\n"


class Received:
    def __init__(self) -> None:
        self.heads: list[RequestHead] = []
        self.body = b""
        self.ended = 0

    def on_head(self, head: RequestHead) -> None:
        self.heads.append(head)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_end(self) -> None:
        self.ended += 1


def fed(data: bytes) -> Received:
    """Returns what was received of the data, which is parsed to its end."""
    received = Received()
    parser = RequestParser(received)
    while data:
        data = data[parser.feed(data) :]
    return received


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: -5",
        b"Content-Length: 99999999999999999999999",
        b"Content-Length : 5",
        b"Content-Length\x0b: 5",
        b" Content-Length: 5",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding:\x0bchunked",
        b"X: a\r\n folded",
        b"X: a\nContent-Length: 5",
        b"X: a\rContent-Length: 5",
        b"X: a\x00b",
        b"X(: a",
        b"X\xe4: a",
    ],
)
def test_a_head_with_two_readings_is_refused(lines: bytes) -> None:
    with pytest.raises(BadRequest):
        fed(b"POST / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n\r\n" + HIDDEN)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/0.9",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.2",
        b"GET /",
        b"GET / HTTP/1.1\n",
        b"GET /a b HTTP/1.1",
    ],
)
def test_only_the_request_lines_of_http_1_are_accepted(line: bytes) -> None:
    with pytest.raises(BadRequest):
        fed(line + b"\r\nHost: x\r\n\r\n" + HIDDEN)


def test_a_chunked_request_of_http_1_0_is_refused() -> None:
    with pytest.raises(BadRequest):
        fed(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "chunk", [b"0x5\r\n", b"5\n", b"5;a=b\n", b" 5\r\n", b"-5\r\n", b"5\r\nabcde" + b"X\r\n"]
)
def test_a_chunk_with_two_readings_is_refused(chunk: bytes) -> None:
    with pytest.raises(BadRequest):
        fed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"abcde\r\n0\r\n\r\n")


def test_a_trailer_is_no_header() -> None:
    received = fed(
        b"POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nX-Kappi-Grant: f\r\n\r\n"
    )
    (head,) = received.heads
    assert head.headers == [(b"a", b"b"), (b"transfer-encoding", b"chunked")]
    assert (received.body, received.ended) == (b"x", 1)


def test_a_request_in_a_body_is_not_a_request() -> None:
    received = fed(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN)
    assert [head.raw_path for head in received.heads] == [b"/"]
    assert received.body == HIDDEN
