"""Decides which bytes of an archive answer a request. RFC 9110, 13 (preconditions) and 14 (ranges)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from kappi_chassis.storage.http_ranges import (
    RangeNotSatisfiable,
    failed_condition,
    range_counts,
    requested_range,
)


class Outcome(NamedTuple):
    """The answer. first, last: offsets of the bytes to send, both included; meaningless without a body."""

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
    """Returns the answer to a request. headers: by lower-case name. etag: bare, strong.

    Without `If-Range`, a range refers to the current bytes. There is no Last-Modified, so conditions on dates
    are ignored, and an `If-Range` with a date never holds.
    """
    whole = Outcome(200, 0, size_bytes - 1)
    failed = failed_condition(headers, etag=etag, last_modified=None)
    if failed is not None:
        return Outcome(412 if failed == 412 else 304)
    if method != "GET" or not range_counts(headers.get("if-range"), etag=etag, last_modified=None):
        return whole
    try:
        span = requested_range(headers.get("range"), size_bytes=size_bytes)
    except RangeNotSatisfiable:
        return Outcome(416)
    return whole if span is None else Outcome(206, *span)
