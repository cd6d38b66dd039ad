"""Decodes JPEG XL, in a decoder process: libjxl through pyjpegxl, which returns upright pixels and the ICC
profile that belongs to them.

The decoder gets the codestream alone, because metadata beside it may be packed, and it would unpack them.
Imports libvips: never import it in a service.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Final

import pyvips
from kappi_contracts.rendition_formats import FALLBACK_FORMAT, RenditionFormat
from kappi_mediameta.containers.jxl_codestream import BT_709, BT_2100, GREY, HLG, P3, PQ, JxlHeader
from kappi_mediameta.probing.blocking import BlockingSource, at_once
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.jxl import codestream_header, read_parts
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected
from kappi_mediameta.probing.source import BlockReader

from kappi_media.rendering import colour
from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.hdr_avif import shrunk
from kappi_media.rendering.picture import check_pixels, conversion
from kappi_media.rendering.pieces import Bytes, spliced
from kappi_media.rendering.profiles import PROFILE, SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

_LIMITS: Final = ProbeLimits()
_MAX_CODESTREAM_BYTES: Final = 512 << 20  # the decoder gets it in one piece
_LARGE_PIXELS: Final = 64_000_000  # lossless ones of this size take more than a gigabyte
_INCOMPLETE: Final = "Incomplete"
_PRIMARIES: Final = {BT_709: colour.BT_709, BT_2100: colour.BT_2020, P3: colour.DISPLAY_P3}
_NATIVE: Final = "pyjpegxl._pyjpegxl"


def _native() -> ModuleType:
    """Returns the native module of pyjpegxl alone. The package around it imports much that is not used here,
    at each start of a decoder process.
    """
    if _NATIVE not in sys.modules:
        package = importlib.util.find_spec("pyjpegxl")
        found = package and PathFinder.find_spec(_NATIVE, package.submodule_search_locations)
        if not found or found.loader is None:
            raise ImportError("no pyjpegxl")
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        sys.modules[_NATIVE] = module
    return sys.modules[_NATIVE]


_pyjpegxl: Final = _native()
_pyjpegxl.set_num_threads(1)  # a confined decoder starts no threads


def load_jxl(
    file: RangedFile,
    *,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat = FALLBACK_FORMAT,
) -> pyvips.Image:
    """Returns the picture, upright, sRGB or grey. Raises Rejected, pyvips.Error."""
    reader = BlockReader(
        BlockingSource(Bytes(file), size_bytes=file.size_bytes),
        max_reads=_LIMITS.max_reads,
        max_read_bytes=_LIMITS.max_read_bytes,
    )
    parts = at_once(read_parts(reader, _LIMITS))
    header = at_once(codestream_header(reader, parts))
    check_pixels(header.width, header.height, max_pixels)
    if sum(end - start for start, end in parts.codestream) > _MAX_CODESTREAM_BYTES:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "JPEG XL: too large to be held")
    shown = spliced(file, list(parts.codestream))
    shown.seek(0)
    image = _decoded(shown.readall(), header)
    scale = least_scale(sizes, image.width, image.height)
    # It is shrunk before its colours are converted: the other order takes several times the memory.
    if _is_hdr(header):
        small = shrunk(image, scale)
        primaries = _PRIMARIES.get(header.primaries, 0)
        small = colour.for_format(small, fmt, transfer=header.transfer, primaries=primaries)
    else:
        height = math.ceil(image.height * scale)
        small = image.thumbnail_image(ANY_WIDTH, height=height, size="down", **conversion(image, fmt))
    return in_memory(small)


def _is_hdr(header: JxlHeader) -> bool:
    return not header.profiled and header.transfer in (PQ, HLG) and header.colour_space != GREY


def _reason(error: RuntimeError, header: JxlHeader) -> RejectReason:
    """Returns the reason of a failure. The decoder does not tell a lack of memory from damage."""
    if _INCOMPLETE in str(error):
        return RejectReason.TRUNCATED
    is_large = header.width * header.height > _LARGE_PIXELS
    return RejectReason.TOO_COMPLEX if is_large else RejectReason.CORRUPT


def _decoded(codestream: bytes, header: JxlHeader) -> pyvips.Image:
    """Returns all pixels, of eight or sixteen bits, with the profile unless it is one of high dynamic
    range."""
    deep = header.bits > 8
    try:
        facts, pixels = _pyjpegxl.decode(codestream, dtype="uint16" if deep else "uint8")
    except RuntimeError as error:
        raise RenderRejected(_reason(error, header), "JPEG XL: the decoder could not read it") from error
    bands = facts.num_color_channels + facts.has_alpha
    sample = "ushort" if deep else "uchar"
    image = pyvips.Image.new_from_memory(pixels, facts.width, facts.height, bands, sample)
    if facts.num_color_channels == 1:
        interpretation = "grey16" if deep else "b-w"
    else:
        interpretation = "rgb16" if deep else SRGB
    image = image.copy(interpretation=interpretation)
    if header.premultiplied and facts.has_alpha:
        alpha = image.extract_band(bands - 1)
        colours = image.extract_band(0, n=bands - 1)
        whitened = colours + (alpha.invert() if not deep else 65_535 - alpha)
        image = whitened.cast(sample).copy(interpretation=interpretation)
    if facts.icc and len(facts.icc) <= MAX_PROFILE_BYTES and not _is_hdr(header):
        image.set_type(pyvips.GValue.blob_type, PROFILE, facts.icc)
    return image
