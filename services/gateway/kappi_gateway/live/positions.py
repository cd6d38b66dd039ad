"""How far the topics were read, as an event id that means the same on every gateway.

The events of one gallery are spread over the partitions of several topics, so one number cannot say what a
client has seen. The id is the list of the next offset of every partition, encrypted, because it counts what
happens in the whole installation.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

Partition = tuple[str, int]
"""A topic and the number of a partition."""

_EPOCH_BYTES = 6
_LONGEST_ID = 8 * 1024
_LONGEST_NUMBER = 9


class Positions:
    """The next offset of each partition.

    An id is bound to a digest of the cluster and its partitions. An id of another cluster, or from before a
    topic got more partitions, is therefore not read. cipher: of ids, the same on every gateway; it needs no
    random number, so equal offsets have the same id.
    """

    def __init__(self, cluster_id: str, offsets: Mapping[Partition, int], *, cipher: AESSIV) -> None:
        partitions = sorted((topic, number) for topic, number in offsets)
        named = repr((cluster_id, partitions)).encode()
        self.epoch = blake2b(named, digest_size=_EPOCH_BYTES).digest()
        self.index_of = {partition: index for index, partition in enumerate(partitions)}
        self.next = [offsets[partition] for partition in partitions]
        self._cipher = cipher
        self._id: bytes | None = None

    def offset_of(self, partition: Partition) -> int:
        return self.next[self.index_of[partition]]

    def advance(self, index: int, offset: int) -> None:
        """Records that a partition was read up to and including an offset."""
        self.next[index] = offset + 1
        self._id = None

    def event_id(self) -> bytes:
        """Returns the id of all that was read."""
        if self._id is None:
            numbers = b"".join(_written(number) for number in self.next)
            self._id = urlsafe_b64encode(self._cipher.encrypt(numbers, [self.epoch])).rstrip(b"=")
        return self._id

    def read(self, event_id: bytes) -> list[int] | None:
        """Returns the offsets of an id, None for an id of another cluster or no id at all."""
        if len(event_id) > _LONGEST_ID:
            return None
        try:
            content = urlsafe_b64decode(event_id + b"=" * (-len(event_id) % 4))
            offsets = _read(self._cipher.decrypt(content, [self.epoch]))
        except (ValueError, InvalidTag):
            return None
        return offsets if offsets is not None and len(offsets) == len(self.next) else None


def _written(number: int) -> bytes:
    """Returns a number in base 128, the smallest digits first; all bytes but the last have the high bit."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _read(content: bytes) -> list[int] | None:
    numbers: list[int] = []
    number = shift = 0
    for byte in content:
        if shift >= 7 * _LONGEST_NUMBER:
            return None
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(number)
            number = shift = 0
    return None if shift else numbers
