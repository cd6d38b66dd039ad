"""Chooses the decoder of a file, in a decoder process. Without a library only files of its kind fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kappi_mediameta.probing.formats import MediaFormat, format_of
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.ranged_file import Fetch, RangedFile
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.rendering.wire import RenderJob

if TYPE_CHECKING:
    import pyvips

    from kappi_media.rendering.poster import FrameTracks

VIDEO_BLOCK_BYTES: Final = 256 << 10
# Pictures are read from end to end, most of them at once; of camera RAW a preview, of a video single frames.
_PICTURE_BLOCK_BYTES: Final = 8 << 20
_RAW_BLOCK_BYTES: Final = 1 << 20

Sizes = Sequence[RenditionSize]
Load = Callable[[RangedFile, RenderJob, Sizes], "pyvips.Image"]


def original(job: RenderJob, fetch: Fetch) -> RangedFile:
    """Returns the original. fetch(start, length) returns its bytes."""
    fmt = _format(job)
    block_bytes = VIDEO_BLOCK_BYTES if fmt.kind == "video" else _PICTURE_BLOCK_BYTES
    if fmt.is_camera_raw:
        block_bytes = _RAW_BLOCK_BYTES
    return RangedFile(fetch, size_bytes=job.size_bytes, block_bytes=block_bytes)


def load(job: RenderJob, fetch: Fetch, sizes: Sizes) -> pyvips.Image:
    """Returns the upright picture, at least as large as the largest size needs. Raises Rejected, and what
    libraries raise for bad data.
    """
    fmt = _format(job)
    loader = _poster if fmt.kind == "video" else _raw if fmt.is_camera_raw else _LOADERS.get(fmt, _picture)
    return loader(original(job, fetch), job, sizes)


def _format(job: RenderJob) -> MediaFormat:
    fmt = format_of(job.content_type)
    if fmt is None:
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, job.content_type)
    return fmt


def _picture(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    from kappi_media.rendering.picture import load_picture

    return load_picture(
        file, content_type=job.content_type, sizes=sizes, max_pixels=job.max_pixels, fmt=job.fmt
    )


def _bmp(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    from kappi_media.rendering.bmp import load_bmp

    return load_bmp(file, sizes=sizes, max_pixels=job.max_pixels)


def _heif(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    from kappi_media.rendering.heic import load_heif
    from kappi_media.rendering.poster import FrameTracks

    loaded = load_heif(
        file, content_type=job.content_type, sizes=sizes, max_pixels=job.max_pixels, fmt=job.fmt
    )
    return _poster(file, job, sizes, loaded) if isinstance(loaded, FrameTracks) else loaded


def _tiff(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    from kappi_media.rendering.tiff import load_tiff

    return load_tiff(file, sizes=sizes, max_pixels=job.max_pixels, fmt=job.fmt)


def _jxl(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    try:
        from kappi_media.rendering.jxl import load_jxl
    except ImportError as missing:  # a retry would not help: wheels exist for some platforms only
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, "no JPEG XL on this platform") from missing
    return load_jxl(file, sizes=sizes, max_pixels=job.max_pixels, fmt=job.fmt)


def _jp2(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    from kappi_media.rendering.jp2 import load_jp2

    return load_jp2(file, orientation=job.orientation, sizes=sizes, max_pixels=job.max_pixels, fmt=job.fmt)


def _raw(file: RangedFile, job: RenderJob, sizes: Sizes) -> pyvips.Image:
    from kappi_media.rendering.camera_raw import load_raw

    return load_raw(file, raw_format=_format(job), sizes=sizes, max_pixels=job.max_pixels, fmt=job.fmt)


def _poster(
    file: RangedFile, job: RenderJob, sizes: Sizes, tracks: FrameTracks | None = None
) -> pyvips.Image:
    from kappi_media.rendering.poster import PosterJob, load_poster

    return load_poster(
        file,
        PosterJob(
            content_type=job.content_type,
            width=job.width,
            height=job.height,
            orientation=job.orientation,
            sizes=sizes,
            max_pixels=job.max_pixels,
            max_read_bytes=job.max_read_bytes,
            tracks=tracks,
        ),
    )


_LOADERS: Final[Mapping[MediaFormat, Load]] = MappingProxyType(
    {
        MediaFormat.BMP: _bmp,
        MediaFormat.HEIC: _heif,
        MediaFormat.AVIF: _heif,
        MediaFormat.TIFF: _tiff,
        MediaFormat.JXL: _jxl,
        MediaFormat.JP2: _jp2,
    }
)
"""Loaders of formats that libvips does not read, or not all of; films and camera RAW have theirs, too."""
