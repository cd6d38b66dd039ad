"""The messages between the renderer and a decoder process: length-prefixed MessagePack over two pipes.

They are typed messages and not pickle, because the answers of the process are untrusted too: a compromised
decoder can send wrong pixels, but no code.

    decoder  -> Ready, once it has shown that it can decode
    renderer -> Order; then, for each Need, only the bytes
    decoder  -> Need*, then one of Done, Probed, Located, SidecarWords, Looked, Refused or
                Unable

A film is answered in pieces instead: Need*, Piece, then no bytes from the renderer once it has stored the
piece, and so on, until a Piece that is the last.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import msgspec
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_mediameta.gps_free.edits import Patch
from kappi_mediameta.probing.facts import Probe, ProbeLimits
from kappi_mediameta.probing.rejection import RejectReason

MAX_MESSAGE_BYTES: Final = 64 << 20
LENGTH: Final = struct.Struct(">I")


class WireSize(msgspec.Struct, frozen=True):
    height: int
    cover_width: int | None = None


class RenderJob(msgspec.Struct, frozen=True, tag="render"):
    """The job of a rendition. width, height: as displayed. orientation: EXIF 1..8. max_pixels: of anything
    decoded.

    max_read_bytes: that the renderer sends before it rejects the file. placeholder: whether to make one, too.
    """

    content_type: str
    size_bytes: int
    width: int
    height: int
    orientation: int
    sizes: tuple[WireSize, ...]
    max_pixels: int
    max_read_bytes: int = 1 << 40
    fmt: RenditionFormat = "jpeg"
    placeholder: bool = False


class ProbeJob(msgspec.Struct, frozen=True, tag="probe"):
    """The job of reading facts. content_type: the canonical one of the sniffed format."""

    content_type: str
    size_bytes: int
    limits: ProbeLimits


class LocateJob(msgspec.Struct, frozen=True, tag="locate"):
    """The job of finding the parts of a file that contain its place. max_read_bytes: as in `RenderJob`."""

    size_bytes: int
    max_read_bytes: int


class SidecarJob(msgspec.Struct, frozen=True, tag="sidecar"):
    """The job of reading an XMP sidecar. max_read_bytes: as in `RenderJob`."""

    size_bytes: int
    max_read_bytes: int


class LookJob(msgspec.Struct, frozen=True, tag="look"):
    """The job of finding how a film is coded. max_pixels, max_read_bytes: as in `RenderJob`."""

    content_type: str
    size_bytes: int
    max_pixels: int
    max_read_bytes: int


class FilmJob(msgspec.Struct, frozen=True, tag="film"):
    """The job of a film that browsers play, or of the rest of one. width, height, orientation, max_pixels,
    max_read_bytes: as in `RenderJob`. Without a width the decoder reads these from the film's header.

    max_seconds: a longer film is refused. ticks, sound_packets: what earlier pieces contain (see `Piece`).
    two_sizes: whether it is made in a small size as well.
    """

    content_type: str
    size_bytes: int
    width: int
    height: int
    orientation: int
    max_pixels: int
    max_read_bytes: int
    max_seconds: int
    ticks: int = 0
    sound_packets: int = 0
    two_sizes: bool = False


class Order(msgspec.Struct, frozen=True):
    """A job with its limit. cpu_seconds: of processor time, after which the decoder ends itself; of a film,
    for each piece.
    """

    job: RenderJob | ProbeJob | LocateJob | SidecarJob | LookJob | FilmJob
    cpu_seconds: float


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The decoder can work. A failure before this message is not caused by a file.

    missing: layers of its confinement that the platform lacks.
    """

    missing: tuple[str, ...] = ()


class Need(msgspec.Struct, frozen=True, tag="need"):
    start: int
    length: int


class WireImage(msgspec.Struct, frozen=True):
    body: bytes
    width: int
    height: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    images: tuple[WireImage, ...]
    placeholder: bytes = b""


class Probed(msgspec.Struct, frozen=True, tag="probed"):
    facts: Probe


class Located(msgspec.Struct, frozen=True, tag="located"):
    patches: tuple[Patch, ...]


class SidecarWords(msgspec.Struct, frozen=True, tag="words", omit_defaults=True):
    """What an XMP sidecar says of its picture. rating: 1 to 5, 0 for none, -1 for a rejected picture."""

    rating: int | None = None
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()


class Looked(msgspec.Struct, frozen=True, tag="looked"):
    """How a film is coded. pixels, sound: FFmpeg's names; sound: None for a film without. wide: high dynamic
    range, or colours beyond those of BT.709.
    """

    codec: str
    pixels: str
    wide: bool
    sound: str | None


class FilmChunk(msgspec.Struct, frozen=True, array_like=True):
    """Samples of one track that follow each other in the body of a piece."""

    sound: bool
    samples: int
    size_bytes: int


class Piece(msgspec.Struct, frozen=True, tag="piece", omit_defaults=True):
    """A part of a film: some seconds that begin with a key frame. body: the samples, in the order of chunks.

    The tables are as in an MP4, big-endian: picture_sizes and sound_sizes a number of 32 bits per sample,
    picture_times pairs of a count and a duration. keys: the numbers of key frames within the piece, from 1.
    picture_config, sound_config: avcC and AudioSpecificConfig; no sound_config for a film without sound.
    ticks: of 90,000 a second, where the next piece begins. sound_packets: in all pieces so far.
    small: the same part of the film in a small size, with the same sound.
    """

    width: int
    height: int
    picture_sizes: bytes
    picture_times: bytes
    keys: tuple[int, ...]
    sound_sizes: bytes
    chunks: tuple[FilmChunk, ...]
    picture_config: bytes
    sound_config: bytes
    ticks: int
    sound_packets: int
    last: bool
    body: bytes
    small: Piece | None = None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    reason: RejectReason
    detail: str = ""


class Unable(msgspec.Struct, frozen=True, tag="unable"):
    """A library for files of this kind cannot be loaded."""

    detail: str = ""


Job = RenderJob | ProbeJob | LocateJob | SidecarJob | LookJob
Result = Done | Probed | Located | SidecarWords | Looked
Answer = Ready | Need | Done | Probed | Located | SidecarWords | Looked | Piece | Refused | Unable

encode: Final = msgspec.msgpack.Encoder().encode
decode_order: Final[Callable[[bytes], Order]] = msgspec.msgpack.Decoder(Order).decode
decode_answer: Final[Callable[[bytes], Answer]] = msgspec.msgpack.Decoder(Answer).decode


def framed(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body
