"""Why a file is not taken. The reasons are stable: clients and events carry them."""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    UNSUPPORTED_TYPE = "unsupported_type"  # not a format Kappi takes
    TYPE_MISMATCH = "type_mismatch"  # the content is not what was declared
    POLYGLOT = "polyglot"  # also a file of another kind: an archive, a script, a document
    EMPTY = "empty"  # no bytes at all
    CORRUPT = "corrupt"  # the structure contradicts the format
    TRUNCATED = "truncated"  # the end is missing
    NO_PICTURE = "no_picture"  # a container without a video track
    TOO_MANY_PIXELS = "too_many_pixels"  # width, height or their product is over the limit
    TOO_MANY_FRAMES = "too_many_frames"  # an animated picture over the limit
    TOO_LONG = "too_long"  # duration over the limit
    TOO_COMPLEX = "too_complex"  # needs more reads, memory or time than one file is given


class Rejected(Exception):
    """The file is at fault and no retry will help. `detail` is for logs: it never quotes file content."""

    def __init__(self, reason: RejectReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class ProbeRejected(Rejected):
    """Refused by type or by header, before anything was decoded."""


class RenderRejected(Rejected):
    """The header was fine, the picture could not be decoded within the limits."""
