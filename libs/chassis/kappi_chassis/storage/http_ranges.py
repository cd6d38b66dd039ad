"""Preconditions and byte ranges of HTTP, for a file server. RFC 9110, 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_single_range = re.compile(r"bytes=\s*(\d{1,18})?-(\d{1,18})?\s*", re.ASCII).fullmatch


class RangeNotSatisfiable(Exception):
    """No byte of the requested range exists."""


def requested_range(header: str | None, *, size_bytes: int) -> tuple[int, int] | None:
    """Returns the first and last byte offset, both inclusive; None means the whole.

    Several ranges and malformed ones count as none, as RFC 9110 allows. Raises RangeNotSatisfiable.
    """
    match = _single_range(header) if header else None
    if match is None or match.group(1) is match.group(2) is None:
        return None
    first, last = match.groups()
    if first is None:
        suffix = min(int(last), size_bytes)
        if suffix == 0:
            raise RangeNotSatisfiable
        return size_bytes - suffix, size_bytes - 1
    begin = int(first)
    end = int(last) if last is not None else size_bytes - 1
    if last is not None and end < begin:
        return None
    if begin >= size_bytes:
        raise RangeNotSatisfiable
    return begin, min(end, size_bytes - 1)


def names_etag(header: str, etag: str, *, weak: bool) -> bool:
    """Whether an `If-Match` (strong) or `If-None-Match` (weak comparison) header names `etag` or `*`."""
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    return f'"{etag}"' in tags


def failed_condition(headers: Mapping[str, str], *, etag: str, last_modified: datetime | None) -> int | None:
    """Returns the status of a GET or HEAD with a failed condition, 412 or 304; None if all conditions hold.

    headers: by lower-case name. etag: bare, strong. last_modified: None if the answer has no such date;
    conditions on dates are then ignored, as they are beside one on tags. RFC 9110, 13.2.2.
    """
    modified = None if last_modified is None else last_modified.replace(microsecond=0)
    must = headers.get("if-match")
    if must is not None:
        if not names_etag(must, etag, weak=False):
            return 412
    elif modified and (date := http_date(headers.get("if-unmodified-since"))) and modified > date:
        return 412
    known = headers.get("if-none-match")
    if known is not None:
        return 304 if names_etag(known, etag, weak=True) else None
    if modified and (date := http_date(headers.get("if-modified-since"))) and modified <= date:
        return 304
    return None


def range_counts(if_range: str | None, *, etag: str, last_modified: datetime | None) -> bool:
    """Whether a range applies to these bytes: without `If-Range`, or if it has this tag or this very date."""
    if if_range is None or if_range.strip() == f'"{etag}"':
        return True
    return last_modified is not None and http_date(if_range) == last_modified.replace(microsecond=0)


def http_date(header: str | None) -> datetime | None:
    """Parses a date in any of the three forms of RFC 9110, 5.6.7. None if invalid: it is then ignored."""
    if not header:
        return None
    try:
        date = parsedate_to_datetime(header)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
