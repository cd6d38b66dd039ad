"""The messages between the renderer and a decoder process: length-prefixed MessagePack over two pipes.

They are typed messages and not pickle, because the answers of the process are untrusted too: a compromised
decoder can send wrong pixels, but no code.

    decoder  -> Ready, once it has shown that it can decode
    renderer -> Order; then, for each Need, only the bytes
    decoder  -> Need*, then one of Done, Probed, Located, Refused or Unable
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


class Order(msgspec.Struct, frozen=True):
    """A job with its limit. cpu_seconds: of processor time, after which the decoder ends itself."""

    job: RenderJob | ProbeJob | LocateJob
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


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    reason: RejectReason
    detail: str = ""


class Unable(msgspec.Struct, frozen=True, tag="unable"):
    """A library for files of this kind cannot be loaded."""

    detail: str = ""


Job = RenderJob | ProbeJob | LocateJob
Result = Done | Probed | Located
Answer = Ready | Need | Done | Probed | Located | Refused | Unable

encode: Final = msgspec.msgpack.Encoder().encode
decode_order: Final[Callable[[bytes], Order]] = msgspec.msgpack.Decoder(Order).decode
decode_answer: Final[Callable[[bytes], Answer]] = msgspec.msgpack.Decoder(Answer).decode


def framed(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body
