"""What the renderer and a decoder process say to each other: length-prefixed MessagePack over two pipes.

Typed messages and not pickle, because what the process answers is not trusted either: a taken-over decoder
can send wrong pixels, never code.

    decoder  -> Ready, once it has shown that it can decode
    renderer -> Order; then, for each Need, the bytes alone
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
    """width, height: as displayed. orientation: EXIF 1..8. max_pixels: of anything decoded.

    max_read_bytes: that the renderer answers with before it gives the file up. placeholder: whether to make
    one, too.
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
    """content_type: the canonical one of what the file was sniffed as."""

    content_type: str
    size_bytes: int
    limits: ProbeLimits


class LocateJob(msgspec.Struct, frozen=True, tag="locate"):
    """What of a file tells where it was made. max_read_bytes: as in `RenderJob`."""

    size_bytes: int
    max_read_bytes: int


class Order(msgspec.Struct, frozen=True):
    """cpu_seconds: of the processor's time, after which the decoder ends itself."""

    job: RenderJob | ProbeJob | LocateJob
    cpu_seconds: float


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """What happens to the decoder before it has said this is no file's fault.

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
