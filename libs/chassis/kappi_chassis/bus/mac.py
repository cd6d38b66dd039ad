"""The MAC of an event: only holders of the deployment's secret make events that consumers act on (ADR-0032).

It is a header of the record, an HMAC-SHA256 over all that a consumer uses: the topic without the deployment's
prefix, the key, the CloudEvents attributes and the data. It stays with the record in the dead letters.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence

from kappi_contracts.envelope import Headers
from msgspec import msgpack

MAC_HEADER = "kappi_mac"

_DOMAIN = "kappi-event-1"
_ATTRIBUTES = ("ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence", "traceparent")
_encode = msgpack.Encoder().encode


class EventMac:
    """Makes and checks MACs. secrets: the first makes MACs, all are accepted. Without secrets nothing is
    signed, and every record is accepted.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._keys = tuple(secret.encode() for secret in secrets)

    def signed(self, *, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Headers:
        """Returns the headers with the record's MAC. topic: without the deployment's prefix."""
        if not self._keys:
            return headers
        mac = hmac.digest(self._keys[0], _covered(topic, key, value, dict(headers)), "sha256")
        return (*headers, (MAC_HEADER, mac.hex().encode()))

    def accepts(
        self,
        *,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
    ) -> bool:
        """Returns whether the record was made with one of the secrets, for this topic."""
        if not self._keys:
            return True
        found = {name: content for name, content in headers if content is not None}
        shown = found.get(MAC_HEADER, b"")
        covered = _covered(topic, key, value, found)
        return any(
            hmac.compare_digest(hmac.digest(each, covered, "sha256").hex().encode(), shown)
            for each in self._keys
        )


def _covered(topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]) -> bytes:
    """Returns the bytes that a MAC covers. MessagePack writes each part's length before it, and distinguishes
    an absent part from an empty one.

    headers: of a repeated header the last, which is the one that a consumer reads.
    """
    return _encode((_DOMAIN, topic, key, value, *map(headers.get, _ATTRIBUTES)))
