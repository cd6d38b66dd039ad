"""Reasons to refuse a file. They are stable, because clients and events use them."""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    UNSUPPORTED_TYPE = "unsupported_type"  # not a format that Kappi accepts
    TYPE_MISMATCH = "type_mismatch"  # the content is not of the declared type
    POLYGLOT = "polyglot"  # also a file of another kind: an archive, a script, a document
    EMPTY = "empty"  # no bytes at all
    CORRUPT = "corrupt"  # the structure contradicts the format
    TRUNCATED = "truncated"  # the end is missing
    NO_PICTURE = "no_picture"  # a container without a video track
    TOO_MANY_PIXELS = "too_many_pixels"  # width, height or their product is over the limit
    TOO_MANY_FRAMES = "too_many_frames"  # an animated picture over the limit
    TOO_LONG = "too_long"  # duration over the limit
    TOO_COMPLEX = "too_complex"  # needs more reads, memory or time than one file gets


class Rejected(Exception):
    """The file is the cause, so a retry does not help. `detail` is for logs and never quotes the file."""

    def __init__(self, reason: RejectReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class ProbeRejected(Rejected):
    """Refused by type or by header, before anything was decoded."""


class RenderRejected(Rejected):
    """The header was accepted, but the picture could not be decoded within the limits."""
