"""Reads what a file is and shows, from a few small ranged reads, with no I/O of its own and no decoder."""

from kappi_mediameta.probing.facts import (
    Camera,
    Coordinates,
    Details,
    EmbeddedFilm,
    Exposure,
    Probe,
    ProbeLimits,
)
from kappi_mediameta.probing.formats import MediaFormat, MediaKind, format_of, matches
from kappi_mediameta.probing.probe import ACCEPTED, DEFAULT_LIMITS, identify, is_supported, probe
from kappi_mediameta.probing.rejection import ProbeRejected, Rejected, RejectReason, RenderRejected
from kappi_mediameta.probing.sniffing import SNIFF_BYTES, sniff
from kappi_mediameta.probing.source import BytesSource, RangedSource

__all__ = [
    "ACCEPTED",
    "DEFAULT_LIMITS",
    "SNIFF_BYTES",
    "BytesSource",
    "Camera",
    "Coordinates",
    "Details",
    "EmbeddedFilm",
    "Exposure",
    "MediaFormat",
    "MediaKind",
    "Probe",
    "ProbeLimits",
    "ProbeRejected",
    "RangedSource",
    "RejectReason",
    "Rejected",
    "RenderRejected",
    "format_of",
    "identify",
    "is_supported",
    "matches",
    "probe",
    "sniff",
]
