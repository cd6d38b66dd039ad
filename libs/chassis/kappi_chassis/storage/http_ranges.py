"""The two pieces of HTTP a file server must get right: byte ranges and entity tags. RFC 9110, 13 and 14."""

from __future__ import annotations

import re

_single_range = re.compile(r"bytes=\s*(\d{1,18})?-(\d{1,18})?\s*", re.ASCII).fullmatch


class RangeNotSatisfiable(Exception):
    """The range asks for nothing that exists."""


def requested_range(header: str | None, *, size_bytes: int) -> tuple[int, int] | None:
    """(first, last) byte offsets, both inclusive; None means the whole.

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
