"""Cuts the bytes of a connection into requests: strictly, because other servers stand in front and behind.

llhttp refuses what could be read in two ways: both kinds of length, two lengths, a line without CR, a folded
header, a space before a colon. Versions and encodings that it knows and that are not spoken here are refused,
too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import httptools

from kappi_chassis.problems import BadRequest, Problem

MAX_HEAD_BYTES = 64 * 1024

_END = b"\r\n\r\n"
_VERSIONS = frozenset({"1.0", "1.1"})
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
# A chunked body ends with `_END`, which it may also contain: searching for it repeatedly costs more than the
# few requests that follow an end in one piece.
_CHUNKED_PIECE_BYTES = 1024


class HeadTooLarge(Problem):
    status, code, title = 431, "head_too_large", "The headers are too large"


class Malformed(Exception):
    """A request that the parser accepts and that another server could read differently."""


@dataclass(slots=True)  # made for each request, and a frozen one takes thrice as long to make
class RequestHead:
    """The head of a request. headers: names in lower case. keeps: whether the client keeps the connection."""

    method: str
    raw_path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    keeps: bool
    expects_continue: bool


class Receiver(Protocol):
    """The connection that the requests belong to."""

    def on_head(self, head: RequestHead) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_end(self) -> None:
        """Is called at the end of a request."""


class RequestParser:
    """in_head, in_body: the part of a request that has begun and not ended."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.on_body = receiver.on_body  # before the parser, which looks for its callbacks when it is made
        self._parser = _new_parser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects_continue = False
        self._head_bytes = 0
        self._head_tail = b""  # the end of a head in several pieces may be in two of them
        self._in_new_body = False  # the length of the body is not known yet
        self._body_left = 0  # of a body with a known length
        self._body_after_upgrade = False  # llhttp then considers the request complete before its body
        self.in_head = False
        self.in_body = False

    @property
    def body_left(self) -> int:
        """Bytes that follow of a body with a known length."""
        return self._body_left

    def skip_body(self, *, but: int) -> None:
        """Continues behind a body that was read by others, except for `but` bytes at its end.

        The parser did not see what they read, so another one takes its place.
        """
        if but:
            self._body_left = but
            self._parse_body([(b"content-length", b"%d" % but)])
            return
        self._parser = _new_parser(self)
        self.on_message_complete()

    def feed(self, data: bytes) -> int:
        """Parses the beginning of the data, so that hardly more than one request ends in it.

        Returns the number of bytes that were parsed. Raises BadRequest, HeadTooLarge.
        """
        end = self._end_of_piece(data)
        piece = data if end >= len(data) else data[:end]
        taken = len(piece)
        if self._body_left:
            self._body_left -= taken
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # Other protocols are not supported: the request is answered as if it had asked for none.
            taken = upgrade.args[0] or taken
            if self._body_after_upgrade:
                self._body_after_upgrade = False
                self._parse_body([header for header in self._headers if header[0] in _FRAMING])
        except httptools.HttpParserError as error:
            raise BadRequest("Invalid HTTP request received.") from error
        if self._in_new_body:
            self._in_new_body = False
            self._body_left = next(
                (int(value) for name, value in self._headers if name == b"content-length"), 0
            )
        elif self.in_head:
            # Only heads in several pieces get here; a single piece is bounded by the read buffer.
            self._head_tail = (self._head_tail + piece)[1 - len(_END) :]
            self._head_bytes += len(piece)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise HeadTooLarge(f"At most {MAX_HEAD_BYTES} bytes are taken.")
        return taken

    def _end_of_piece(self, data: bytes) -> int:
        if self._body_left:
            return self._body_left
        tail, start = (b"", _CHUNKED_PIECE_BYTES) if self.in_body else (self._head_tail, 0)
        found = (tail + data).find(_END, start)
        return len(data) if found < 0 else found + len(_END) - len(tail)

    def _parse_body(self, framing: list[tuple[bytes, bytes]]) -> None:
        """Continues in the body with a parser that did not see the request.

        framing: the headers of the body's length. Java's HTTP client asks for h2c with every request, also
        with those that have a body; their parsers end before it.
        """
        head = b"".join(b"%b: %b\r\n" % header for header in framing)
        self._parser = _new_parser(_AfterHead(self))
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % head)

    # Called by llhttp.

    def on_message_begin(self) -> None:
        self.in_head = True
        self._url, self._headers, self._expects_continue = b"", [], False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # no trailer
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self._expects_continue = True
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.in_body = self._in_new_body = True
        self._head_bytes, self._head_tail = 0, b""
        parser = self._parser
        version = parser.get_http_version()
        _check_framing(version, self._headers)
        if parser.should_upgrade():
            self._body_after_upgrade = any(name in _FRAMING for name, _ in self._headers)
        url = httptools.parse_url(self._url)
        self._receiver.on_head(
            RequestHead(
                method=parser.get_method().decode("ascii"),
                raw_path=url.path,
                query=url.query or b"",
                version=version,
                headers=self._headers,
                keeps=version == "1.1" and parser.should_keep_alive(),
                expects_continue=self._expects_continue and version == "1.1",
            )
        )

    def on_message_complete(self) -> None:
        if self._body_after_upgrade:
            return
        self.in_body = self._in_new_body = False
        self._body_left = 0
        self._receiver.on_end()


class _AfterHead:
    """Callbacks of a parser that pass all calls on, except those of the invented first head."""

    def __init__(self, requests: RequestParser) -> None:
        self._requests = requests
        self._made_up = True
        self.on_body = requests.on_body
        self.on_message_complete = requests.on_message_complete

    def on_message_begin(self) -> None:
        if not self._made_up:
            self._requests.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._made_up:
            self._requests.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._made_up:
            self._requests.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._made_up:
            self._requests.on_headers_complete()
        self._made_up = False


def _new_parser(callbacks: Any) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(callbacks)
    # A client that announces the end of its connection may have sent a further request.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _check_framing(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    if version not in _VERSIONS:
        raise Malformed
    for name, value in headers:
        if name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
            raise Malformed
