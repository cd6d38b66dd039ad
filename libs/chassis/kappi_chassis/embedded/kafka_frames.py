"""The parts of Kafka's protocol that the proxy of the embedded broker reads and changes.

A frame is one request or answer, with the four bytes of its length. Source:
https://kafka.apache.org/protocol; the versions below are those before the compact encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PRODUCE, FETCH, METADATA, FIND_COORDINATOR = 0, 1, 3, 10
DESCRIBE_CLUSTER = 60

_COMPACT_PRODUCE: Final = 9
_WAITING_FETCHES: Final = range(4, 12)
_LONGEST_BYTES: Final = 256 << 20
_REQUEST = struct.Struct(">ihhi")
_INT16, _INT32 = struct.Struct(">h"), struct.Struct(">i")


class NotKafka(ValueError):
    """A frame has an impossible length."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request for records. frame: the same request, to be answered at once."""

    topics: frozenset[str]
    wait_s: float
    frame: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Produce:
    """A request that appends records. topics: None if they are not known."""

    topics: frozenset[str] | None
    is_answered: bool


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the frames that are complete now. Raises NotKafka."""
        self._rest += data
        while len(self._rest) >= _INT32.size:
            (length,) = _INT32.unpack_from(self._rest)
            if not 0 <= length <= _LONGEST_BYTES:
                raise NotKafka(f"a frame of {length} bytes")
            end = _INT32.size + length
            if len(self._rest) < end:
                return
            frame = bytes(self._rest[:end])
            del self._rest[:end]
            yield frame


class _Reader:
    def __init__(self, frame: bytes, at: int) -> None:
        self.frame = frame
        self.at = at

    def skip(self, size_bytes: int) -> None:
        self.at += max(0, size_bytes)

    def int16(self) -> int:
        (number,) = _INT16.unpack_from(self.frame, self.at)
        self.at += 2
        return int(number)

    def int32(self) -> int:
        (number,) = _INT32.unpack_from(self.frame, self.at)
        self.at += 4
        return int(number)

    def string(self) -> str:
        """Returns a string; an empty one for null."""
        length = max(0, self.int16())
        self.at += length
        return self.frame[self.at - length : self.at].decode()


def kind_of(frame: bytes) -> tuple[int, int]:
    """Returns the API key and version of a request. Raises NotKafka."""
    if len(frame) < _REQUEST.size:
        raise NotKafka(f"a request of {len(frame)} bytes")
    _, key, version, _ = _REQUEST.unpack_from(frame)
    return key, version


def fetch_of(frame: bytes, version: int) -> Fetch | None:
    """Returns the request for records; None for a version that is not known."""
    if version not in _WAITING_FETCHES:
        return None
    body = _body(frame)
    body.skip(4)  # the replica
    wait_at = body.at
    wait_ms = body.int32()
    body.skip(4 + 4 + 1 + (8 if version >= 7 else 0))  # the sizes, the isolation, the session
    partition_bytes = 16 + (8 if version >= 5 else 0) + (4 if version >= 9 else 0)
    topics = set()
    for _ in range(body.int32()):
        topics.add(body.string())
        body.skip(body.int32() * partition_bytes)
    at_once = frame[:wait_at] + _INT32.pack(0) + frame[wait_at + 4 :]
    return Fetch(frozenset(topics), wait_s=wait_ms / 1e3, frame=at_once, version=version)


def is_empty(answer: bytes, version: int) -> bool:
    """Whether an answer to a `Fetch` has neither a record nor an error."""
    body = _Reader(answer, 8 + 4)  # after the length, the correlation and the throttling
    if version >= 7:
        if body.int16():
            return False
        body.skip(4)  # the session
    for _ in range(body.int32()):
        body.string()
        for _ in range(body.int32()):
            body.skip(4)  # the partition
            if body.int16():
                return False
            body.skip(16 + (8 if version >= 5 else 0))  # the offsets
            body.skip(body.int32() * 16)  # the aborted transactions
            body.skip(4 if version >= 11 else 0)  # the preferred replica
            if body.int32() > 0:
                return False
    return True


def produce_of(frame: bytes, version: int) -> Produce:
    """Returns what a request appends to."""
    if version >= _COMPACT_PRODUCE:
        return Produce(None, is_answered=True)
    body = _body(frame)
    if version >= 3:
        body.string()  # the transaction
    acknowledgements = body.int16()
    body.skip(4)  # the timeout
    topics = set()
    for _ in range(body.int32()):
        topics.add(body.string())
        for _ in range(body.int32()):
            body.skip(4)  # the partition
            body.skip(body.int32())
    return Produce(frozenset(topics), is_answered=acknowledgements != 0)


def address(host: str, port: int) -> bytes:
    """Returns an address as answers have it; those of one host have the same length."""
    return host.encode() + _INT32.pack(port)


def _body(frame: bytes) -> _Reader:
    reader = _Reader(frame, _REQUEST.size)
    reader.string()  # the client
    return reader
