"""A decoder process: `python -m kappi_media.rendering.worker <memory limit in bytes> <niceness> [libraw]`.

Orders arrive on stdin, answers leave on stdout (`wire.py`), one at a time, until stdin ends. The process
loads what any job needs, and LibRaw if asked, confines itself, and is ready when it has shown that it can
still decode. From then on it opens no file, no socket and no program: originals arrive through the pipe. It
has no credentials and exits with its parent. It does not catch unexpected errors: it dies, and if it was
ready before, the renderer counts that against the item.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final, TypeVar

from kappi_chassis.confinement.confine import confine
from kappi_mediameta.gps_free.blocking import find_location_blocking
from kappi_mediameta.gps_free.edits import Unremovable
from kappi_mediameta.probing.blocking import probe_blocking
from kappi_mediameta.probing.formats import format_of
from kappi_mediameta.probing.rejection import ProbeRejected, Rejected, RejectReason, RenderRejected
from kappi_mediameta.probing.xmp import is_xmp, read_xmp

from kappi_media.rendering.loading import VIDEO_BLOCK_BYTES, load, original
from kappi_media.rendering.ranged_file import Fetch, RangedFile
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.rendering.wire import (
    LENGTH,
    Answer,
    Done,
    FilmJob,
    Job,
    Located,
    LocateJob,
    Looked,
    LookJob,
    Need,
    Order,
    Probed,
    ProbeJob,
    Ready,
    Refused,
    RenderJob,
    Result,
    SidecarJob,
    SidecarWords,
    Unable,
    WireImage,
    WireSize,
    decode_order,
    encode,
    framed,
)

_Made = TypeVar("_Made")

_DETAIL_CHARS: Final = 200
_OUT_OF_MEMORY: Final = "out of memory"
# The messages of libraries for a valid file for which they lack a feature.
_NOT_BUILT: Final = ("not supported", "unsupported", "Unsupported", "not configured", "size out of range")
_WITH_LIBRAW: Final = "libraw"
_SHORTEST_S: Final = 1e-6  # a timer of zero would never fire
# The modules that jobs import, and those that they import for a file that needs it.
_LIBRARIES: Final = (
    "kappi_media.rendering.picture",
    "kappi_media.rendering.animation",
    "kappi_media.rendering.encoding",
    "kappi_media.rendering.placeholder",
    "kappi_media.rendering.bmp",
    "kappi_media.rendering.tiff",
    "kappi_media.rendering.jxl",
    "kappi_media.rendering.jp2",
    "kappi_media.rendering.heic",
    "kappi_media.rendering.camera_raw",
    "kappi_media.rendering.poster",
    "kappi_media.rendering.film_look",
    "kappi_media.rendering.film_encoder",
    "av.subtitles.stream",
    "av.subtitles.codeccontext",
)
# A fifth of the time of a start, and few files need it.
_LIBRAW: Final = "kappi_media.rendering.raw_development"


class _Parent:
    """The two pipes to the parent."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def next_order(self) -> Order | None:
        body = self._receive()
        return None if body is None else decode_order(body)

    def send(self, message: Answer) -> None:
        self._outgoing.write(framed(encode(message)))
        self._outgoing.flush()

    def fetch(self, start: int, length: int) -> bytes:
        self.send(Need(start=start, length=length))
        body = self._receive()
        if body is None:
            # This is called from native code, where an exception would only be printed and ignored.
            os._exit(0)
        return body

    def _receive(self) -> bytes | None:
        prefix = self._incoming.read(LENGTH.size)
        if len(prefix) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack(prefix)
        body = self._incoming.read(length)
        return body if len(body) == length else None

    def await_storing(self) -> None:
        """Wait until the renderer has stored a piece."""
        if self._receive() is None:
            os._exit(0)


def answer(job: Job, fetch: Fetch) -> Result | Refused | Unable:
    """Returns the answer to one job of any kind. fetch(start, length) returns the original's bytes."""
    try:
        if isinstance(job, RenderJob):
            return render(job, fetch)
        if isinstance(job, LookJob):
            return _looked(job, fetch)
        if isinstance(job, SidecarJob):
            return _unless_refused(lambda: _words(fetch(0, job.size_bytes)))
        return _probed(job, fetch) if isinstance(job, ProbeJob) else _located(job, fetch)
    except ImportError as missing:
        return Unable(detail="; ".join([*_not_loaded, str(missing)])[:_DETAIL_CHARS])


def limit_time(cpu_seconds: float) -> None:
    """End this process after this much processor time. Elapsed time would include the work of other
    processes. The signal's default action ends native code as well.
    """
    signal.setitimer(signal.ITIMER_PROF, max(_SHORTEST_S, cpu_seconds))


def lift_time_limit() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.0)


def _probed(job: ProbeJob, fetch: Fetch) -> Probed | Refused:
    fmt = format_of(job.content_type)
    if fmt is None:
        return Refused(reason=RejectReason.UNSUPPORTED_TYPE, detail="no format of that name")
    try:
        return Probed(probe_blocking(fetch, fmt, size_bytes=job.size_bytes, limits=job.limits))
    except ProbeRejected as refusal:
        return Refused(reason=refusal.reason, detail=refusal.detail[:_DETAIL_CHARS])
    except MemoryError:
        return Refused(reason=RejectReason.TOO_COMPLEX, detail=_OUT_OF_MEMORY)


def _located(job: LocateJob, fetch: Fetch) -> Located | Refused:
    try:
        return Located(find_location_blocking(fetch, size_bytes=job.size_bytes))
    except Unremovable as refusal:
        return Refused(reason=RejectReason.CORRUPT, detail=str(refusal)[:_DETAIL_CHARS])
    except MemoryError:
        return Refused(reason=RejectReason.TOO_COMPLEX, detail=_OUT_OF_MEMORY)


def _words(body: bytes) -> SidecarWords:
    if not is_xmp(body):
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "no XMP")
    found = read_xmp([body])
    details = found.details
    return SidecarWords(details.rating, details.title, found.caption, found.keywords)


def render(job: RenderJob, fetch: Fetch) -> Done | Refused:
    """Returns the answer to one job. fetch(start, length) returns the original's bytes. Raises unforeseen
    errors only.
    """
    return _unless_refused(lambda: _done(job, fetch))


def _looked(job: LookJob, fetch: Fetch) -> Looked | Refused:
    from kappi_media.rendering.film_look import look_at

    file = RangedFile(fetch, size_bytes=job.size_bytes, block_bytes=VIDEO_BLOCK_BYTES)
    return _unless_refused(lambda: look_at(file, job.content_type, max_pixels=job.max_pixels))


def answer_film(job: FilmJob, parent: _Parent, *, cpu_seconds: float) -> None:
    """Send the pieces of a film, or a refusal. cpu_seconds: for each piece."""
    try:
        from kappi_media.rendering.film_encoder import film_pieces
    except ImportError as missing:
        parent.send(Unable(detail="; ".join([*_not_loaded, str(missing)])[:_DETAIL_CHARS]))
        return
    file = RangedFile(parent.fetch, size_bytes=job.size_bytes, block_bytes=VIDEO_BLOCK_BYTES)
    pieces = film_pieces(file, job)
    last = False
    while not last:
        limit_time(cpu_seconds)
        piece = _unless_refused(lambda: next(pieces))
        lift_time_limit()
        parent.send(piece)
        last = isinstance(piece, Refused) or piece.last
        if not last:
            parent.await_storing()


def _unless_refused(work: Callable[[], _Made]) -> _Made | Refused:
    """Returns what the work makes of a file, or why it does not."""
    import pyvips

    try:
        return work()
    except Rejected as refusal:
        return Refused(reason=refusal.reason, detail=refusal.detail[:_DETAIL_CHARS])
    except MemoryError:
        return Refused(reason=RejectReason.TOO_COMPLEX, detail=_OUT_OF_MEMORY)
    # The exceptions of libvips, Pillow and FFmpeg for bad data.
    except (pyvips.Error, OSError, ValueError, SyntaxError) as error:
        return _undecodable(str(error))


def _undecodable(said: str) -> Refused:
    """Returns the refusal. said: by a library, which may quote the file. It decides the reason and is not
    passed on.
    """
    if _OUT_OF_MEMORY in said:
        return Refused(reason=RejectReason.TOO_COMPLEX, detail=_OUT_OF_MEMORY)
    if any(phrase in said for phrase in _NOT_BUILT):
        return Refused(reason=RejectReason.UNSUPPORTED_TYPE, detail="the decoder has no way to read it")
    return Refused(reason=RejectReason.CORRUPT, detail="the decoder could not read it")


def _done(job: RenderJob, fetch: Fetch) -> Done:
    from kappi_media.rendering.animation import animation
    from kappi_media.rendering.encoding import encoded, resized
    from kappi_media.rendering.placeholder import placeholder

    sizes = [RenditionSize(height=s.height, cover_width=s.cover_width) for s in job.sizes]
    if job.fmt == "webp" and len(sizes) == 1:
        moving = animation(
            original(job, fetch), content_type=job.content_type, size=sizes[0], max_pixels=job.max_pixels
        )
        if moving is not None:
            return Done(images=(WireImage(body=moving.body, width=moving.width, height=moving.height),))
    base = load(job, fetch, sizes)
    images = [resized(base, size) for size in sizes]
    files = [encoded(image, job.fmt) for image in images]
    return Done(
        images=tuple(WireImage(body=f.body, width=f.width, height=f.height) for f in files),
        placeholder=placeholder(images[0]) if job.placeholder else b"",
    )


_not_loaded: list[str] = []
"""The reasons why libraries could not be loaded: files of other kinds do not need them."""


def _load_libraries(*, without_libraw: bool) -> None:
    """Load everything that a job of any kind imports: later, no file can be opened."""
    time.strptime("2000", "%Y")  # imports its own code when it is first called
    if without_libraw:
        sys.modules[_LIBRAW] = None  # type: ignore[assignment] # its import raises ImportError from now on
    for name in _LIBRARIES if without_libraw else (*_LIBRARIES, _LIBRAW):
        try:
            importlib.import_module(name)
        except ImportError as missing:
            _not_loaded.append(str(missing))


def _close_all_but(kept: set[int]) -> None:
    """Close descriptors that the parent left open: uvloop passes its pipes twice."""
    for number in {int(name) for name in os.listdir("/dev/fd")} - kept:
        with suppress(OSError):  # the one that listed the folder
            os.close(number)


def _limit(memory_bytes: int, *, niceness: int) -> None:
    """Limit the memory to the given size, forbid files and core dumps, and lower the priority for the
    processor.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)
    # Where the system shares its processors among sessions, a priority counts within its session only.
    with suppress(OSError), open("/proc/self/autogroup", "w") as session:
        session.write(str(niceness))


def _prove() -> None:
    """Decode a generated picture. It fails when a library is broken, or memory too short for any picture."""
    import pyvips

    body = pyvips.Image.black(16, 16).jpegsave_buffer()
    job = RenderJob(
        content_type="image/jpeg",
        size_bytes=len(body),
        width=16,
        height=16,
        orientation=1,
        sizes=(WireSize(height=8),),
        max_pixels=256,
    )
    if not isinstance(render(job, lambda start, length: body[start : start + length]), Done):
        sys.exit("cannot decode a JPEG of its own")


def main() -> None:
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write to the pipe of answers
    _close_all_but({0, 1, 2, outgoing.fileno()})
    _limit(int(sys.argv[1]), niceness=int(sys.argv[2]))
    _load_libraries(without_libraw=_WITH_LIBRAW not in sys.argv)
    from kappi_media.rendering.picture import harden

    harden()
    missing = confine()
    _prove()
    parent = _Parent(sys.stdin.buffer, outgoing)
    parent.send(Ready(missing=missing))
    while (order := parent.next_order()) is not None:
        if isinstance(order.job, FilmJob):
            answer_film(order.job, parent, cpu_seconds=order.cpu_seconds)
            continue
        limit_time(order.cpu_seconds)
        answered = answer(order.job, parent.fetch)
        lift_time_limit()
        parent.send(answered)


if __name__ == "__main__":
    main()
