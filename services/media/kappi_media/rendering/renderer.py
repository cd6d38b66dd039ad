"""The renderer: a few decoder processes, started when there is work and ended when there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
from kappi_chassis.observability.tracing import step
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_mediameta.gps_free.edits import MAX_READ_BYTES, Patch, Unremovable
from kappi_mediameta.probing.facts import Probe, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.probe import DEFAULT_LIMITS
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.source import BytesSource, RangedSource

from kappi_media import metrics
from kappi_media.domain.shares import NO_SHARE, DecoderBudget, Share
from kappi_media.fair_places import FairPlaces
from kappi_media.rendering.failures import DecoderCrashed, DecoderLacksLibrary
from kappi_media.rendering.process import DecoderProcess
from kappi_media.rendering.sizes import GridPicture, RenderedImage, RenditionSize
from kappi_media.rendering.wire import (
    Done,
    Job,
    Located,
    LocateJob,
    Looked,
    LookJob,
    Probed,
    ProbeJob,
    RenderJob,
    Result,
    SidecarJob,
    SidecarWords,
    WireImage,
    WireSize,
)

_JOBS_PER_PROCESS: Final = 500  # native decoders leak; a new process costs a fraction of a second
_SPARE_READ_BYTES: Final = 8 << 20
_STEPS: Final = {
    RenderJob: "decoder render",
    ProbeJob: "decoder probe",
    LocateJob: "decoder locate",
    LookJob: "decoder look",
    SidecarJob: "decoder sidecar",
}


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """The limits of one job.

    max_pixels, max_video_pixels: as in `ProbeLimits`. memory_bytes: address space of a decoder process. time,
    probe_time: of the processor, for decoding and for reading a header. wall_time_limit: of elapsed time, for
    starting and working: beside busy services a decoder, which has a lower priority, gets a tenth of a
    processor. picture_bytes: the largest still picture read. video_read_bytes: how much of a video is read
    for a poster.
    """

    max_pixels: int = DEFAULT_LIMITS.max_pixels
    max_video_pixels: int = DEFAULT_LIMITS.max_video_pixels
    memory_bytes: int = 2 << 30
    time: timedelta = timedelta(seconds=30)
    probe_time: timedelta = timedelta(seconds=30)
    wall_time_limit: timedelta = timedelta(minutes=5)
    picture_bytes: int = 1 << 30
    video_read_bytes: int = 256 << 20


class Renderer:
    """Makes renditions in at most `max_parallel` processes, and a spare one for parties without one; further
    calls wait for a fair turn.

    budget: the decoder time of each party; shared with the selection of upload jobs. No process exists before
    the first call, or later than `idle_after` after the last. It must be closed when the service stops.
    """

    def __init__(
        self,
        *,
        max_parallel: int = 2,
        limits: RenderLimits | None = None,
        budget: DecoderBudget | None = None,
        idle_after: timedelta = timedelta(seconds=20),
    ) -> None:
        self._limits = limits or RenderLimits()
        self._budget = budget or DecoderBudget()
        self._places = FairPlaces(max_parallel, budget=self._budget)
        self._idle_after = idle_after
        self._idle: dict[DecoderProcess, asyncio.TimerHandle] = {}
        self._retired: set[DecoderProcess] = set()

    async def render(
        self,
        source: RangedSource,
        probe: Probe,
        sizes: Sequence[RenditionSize],
        *,
        fmt: RenditionFormat = "jpeg",
        share: Share = NO_SHARE,
    ) -> tuple[RenderedImage, ...]:
        """Returns one picture per size, in order: of the picture itself, or of a frame that represents the
        video.

        Raises RenderRejected when the file cannot be decoded within the limits: a retry does not help. Raises
        DecoderUnavailable when the file is not the cause. Errors of the source pass through.
        """
        done = await self._done(self._job(source, probe, sizes, fmt=fmt), source, share)
        return tuple(map(_image, done.images))

    async def render_grid(
        self, source: RangedSource, probe: Probe, size: RenditionSize, *, share: Share = NO_SHARE
    ) -> GridPicture:
        """Returns a JPEG of that size with its placeholder, from one decoding. Raises as `render` does."""
        job = self._job(source, probe, [size], fmt="jpeg")
        done = await self._done(msgspec.structs.replace(job, placeholder=True), source, share)
        return GridPicture(image=_image(done.images[0]), placeholder=done.placeholder)

    async def probe(
        self,
        source: RangedSource,
        fmt: MediaFormat,
        limits: ProbeLimits = DEFAULT_LIMITS,
        *,
        share: Share = NO_SHARE,
    ) -> Probe:
        """Returns the facts of a file, read in a confined process.

        Raises as `probing.probe`, RenderRejected when its reader crashed or took too long, and
        DecoderUnavailable.
        """
        job = ProbeJob(content_type=fmt.content_type, size_bytes=source.size_bytes, limits=limits)
        found = await self._answer(job, source, share)
        if isinstance(found, Probed):
            return found.facts
        raise RenderRejected(RejectReason.CORRUPT, "crashes its reader")

    async def look(self, source: RangedSource, content_type: str, *, share: Share = NO_SHARE) -> Looked:
        """Returns how a film is coded. Raises as `render` does."""
        job = LookJob(
            content_type=content_type,
            size_bytes=source.size_bytes,
            max_pixels=self._limits.max_video_pixels,
            max_read_bytes=self._limits.video_read_bytes,
        )
        found = await self._answer(job, source, share)
        if isinstance(found, Looked):
            return found
        raise RenderRejected(RejectReason.CORRUPT, "crashes its decoder")

    async def read_sidecar(self, body: bytes, *, share: Share = NO_SHARE) -> SidecarWords:
        """Returns what an XMP sidecar says. Raises as `render` does."""
        job = SidecarJob(size_bytes=len(body), max_read_bytes=len(body))
        found = await self._answer(job, BytesSource(body), share)
        if isinstance(found, SidecarWords):
            return found
        raise RenderRejected(RejectReason.CORRUPT, "crashes its reader")

    async def find_location(self, source: RangedSource, *, share: Share = NO_SHARE) -> tuple[Patch, ...]:
        """As `gps_free.find.find_location`, in a confined process, because the file may be malicious.

        Raises Unremovable, also when its reader crashed or took too long, and DecoderUnavailable.
        """
        # A JPEG is read completely, and what seems to follow its end is read again.
        limit = 3 * source.size_bytes + MAX_READ_BYTES
        job = LocateJob(size_bytes=source.size_bytes, max_read_bytes=limit)
        try:
            found = await self._answer(job, source, share)
        except RenderRejected as refused:
            raise Unremovable(refused.detail) from refused
        if isinstance(found, Located) and _fits(found.patches, size_bytes=source.size_bytes):
            return found.patches
        raise Unremovable("crashes its reader")

    async def close(self) -> None:
        """End all processes. Other calls must have returned or been cancelled."""
        processes = {*self._idle, *self._retired}
        for timer in self._idle.values():
            timer.cancel()
        self._idle.clear()
        self._retired.clear()
        for process in processes:
            await process.close()

    def _job(
        self, source: RangedSource, probe: Probe, sizes: Sequence[RenditionSize], *, fmt: RenditionFormat
    ) -> RenderJob:
        if not sizes:
            raise ValueError("no rendition asked for")
        max_pixels = self._limits.max_pixels if probe.kind == "image" else self._limits.max_video_pixels
        if probe.width * probe.height > max_pixels:
            raise RenderRejected(RejectReason.TOO_MANY_PIXELS, f"{probe.width} x {probe.height}")
        if probe.kind == "image" and source.size_bytes > self._limits.picture_bytes:
            raise RenderRejected(RejectReason.TOO_COMPLEX, f"{source.size_bytes} bytes of picture")
        return RenderJob(
            content_type=probe.content_type,
            size_bytes=source.size_bytes,
            width=probe.width,
            height=probe.height,
            orientation=probe.orientation,
            sizes=tuple(WireSize(height=s.height, cover_width=s.cover_width) for s in sizes),
            max_pixels=max_pixels,
            max_read_bytes=2 * source.size_bytes + _SPARE_READ_BYTES
            if probe.kind == "image"
            else self._limits.video_read_bytes,
            fmt=fmt,
        )

    async def _done(self, job: RenderJob, source: RangedSource, share: Share) -> Done:
        done = await self._answer(job, source, share)
        if isinstance(done, Done) and len(done.images) == len(job.sizes):
            return done
        raise RenderRejected(RejectReason.CORRUPT, "crashes its decoder")

    async def _answer(self, job: Job, source: RangedSource, share: Share) -> Result | None:
        """Returns the result; None when the file crashed its decoder.

        A process that has worked on other files may crash because of those. Then a new process gets the job
        with the rest of its time. After a crash of a new process, another one would crash too. A job that
        lacks a library gets a process with LibRaw.
        """
        with step(_STEPS[type(job)], attributes={"kappi.size_bytes": job.size_bytes}):
            return await self._answer_in_turn(job, source, share)

    async def _answer_in_turn(self, job: Job, source: RangedSource, share: Share) -> Result | None:
        time_limit = self._limits.time if isinstance(job, RenderJob) else self._limits.probe_time
        fresh = develops = False
        async with self._place(share):
            while not fresh:
                process = await self._take(develops=develops)
                fresh = not process.jobs_done
                started = time.monotonic()
                try:
                    return await self._run(process, job, source, time_limit=time_limit)
                except DecoderLacksLibrary:
                    if process.develops:
                        raise
                    fresh, develops = False, True
                except DecoderCrashed:
                    time_limit -= timedelta(seconds=time.monotonic() - started)
                if time_limit <= timedelta(0):
                    raise RenderRejected(RejectReason.TOO_COMPLEX, "time limit")
        return None

    @asynccontextmanager
    async def _place(self, share: Share) -> AsyncIterator[None]:
        waited = time.monotonic()
        async with self._places.held(share):
            started = time.monotonic()
            metrics.DECODER_WAIT_SECONDS.observe(started - waited)
            try:
                with metrics.DECODERS_HELD.track_inprogress():
                    yield
            finally:
                seconds = time.monotonic() - started
                self._budget.charge(share, seconds)
                metrics.DECODER_SECONDS.labels("anonymous" if share.anonymous else "others").inc(seconds)

    async def _run(
        self, process: DecoderProcess, job: Job, source: RangedSource, *, time_limit: timedelta
    ) -> Result:
        jobs_before = process.jobs_done
        try:
            return await process.run(
                job,
                source,
                time_limit=time_limit,
                wall_time_limit=self._limits.wall_time_limit,
                read_limit_bytes=job.limits.max_read_bytes
                if isinstance(job, ProbeJob)
                else job.max_read_bytes,
            )
        finally:
            # After anything except an answered job, the exchange of messages is incomplete.
            if process.jobs_done > jobs_before:
                self._give_back(process)
            else:
                await process.close()

    async def _take(self, *, develops: bool) -> DecoderProcess:
        """Returns a process. develops: one with LibRaw; others may have it, too."""
        for process in [idle for idle in reversed(self._idle) if idle.develops or not develops]:
            timer = self._idle.pop(process, None)
            if timer is None:
                continue  # another call took it while this one waited
            timer.cancel()
            if process.running:
                return process
            await process.close()
        if develops:
            return await DecoderProcess.start_developing(memory_bytes=self._limits.memory_bytes)
        return await DecoderProcess.start(memory_bytes=self._limits.memory_bytes)

    def _give_back(self, process: DecoderProcess) -> None:
        self._retired = {gone for gone in self._retired if gone.running}
        if process.jobs_done >= _JOBS_PER_PROCESS:
            self._retire(process)
            return
        loop = asyncio.get_running_loop()
        self._idle[process] = loop.call_later(self._idle_after.total_seconds(), self._retire, process)

    def _retire(self, process: DecoderProcess) -> None:
        self._idle.pop(process, None)
        process.retire()
        self._retired.add(process)


def _fits(patches: Sequence[Patch], *, size_bytes: int) -> bool:
    """Returns whether the patches can be applied to a file of that size without changing its size."""
    return all(
        patch.start >= 0
        and 0 <= patch.length <= size_bytes - patch.start
        and (patch.body is None or len(patch.body) == patch.length)
        for patch in patches
    )


def _image(sent: WireImage) -> RenderedImage:
    return RenderedImage(body=sent.body, width=sent.width, height=sent.height)
