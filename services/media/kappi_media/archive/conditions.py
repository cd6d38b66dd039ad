"""Which bytes of an archive a request is answered with. RFC 9110, 13 (preconditions) and 14 (ranges)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from kappi_chassis.storage.http_ranges import RangeNotSatisfiable, names_etag, requested_range


class Outcome(NamedTuple):
    """first, last: offsets of the bytes to send, both included; of no meaning without a body."""

    status: Literal[200, 206, 304, 412, 416]
    first: int = 0
    last: int = -1

    @property
    def has_body(self) -> bool:
        return self.status in (200, 206)

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def outcome(method: str, headers: Mapping[str, str], *, etag: str, size_bytes: int) -> Outcome:
    """headers: by lower-case name. etag: bare, strong. A range without `If-Range` is one of these bytes.

    There is no Last-Modified, so conditions on dates are ignored, and an `If-Range` with one never holds.
    """
    whole = Outcome(200, 0, size_bytes - 1)
    must = headers.get("if-match")
    if must is not None and not names_etag(must, etag, weak=False):
        return Outcome(412)
    known = headers.get("if-none-match")
    if known is not None and names_etag(known, etag, weak=True):
        return Outcome(304)
    if method != "GET" or headers.get("if-range", f'"{etag}"').strip() != f'"{etag}"':
        return whole
    try:
        span = requested_range(headers.get("range"), size_bytes=size_bytes)
    except RangeNotSatisfiable:
        return Outcome(416)
    return whole if span is None else Outcome(206, *span)
