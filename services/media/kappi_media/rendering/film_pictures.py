"""Prepares the frames of a film for browsers, in a decoder process: upright, square pixels, BT.709, 4:2:0."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import pyvips
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
)

from kappi_media.rendering.colour import needs_conversion, to_srgb
from kappi_media.rendering.poster import matrix_of

TICKS: Final = 90_000
"""The ticks of a second."""
LONG_SIDE, SHORT_SIDE = 1920, 1080
"""The largest sides of a picture."""
SMALL_SIDES: Final = (854, 480)
"""The same in the small size of a long film."""
_TURNS: Final = {
    2: ("hflip",),
    3: ("hflip", "vflip"),
    4: ("vflip",),
    5: ("transpose=cclock_flip",),
    6: ("transpose=clock",),
    7: ("transpose=clock_flip",),
    8: ("transpose=cclock",),
}
_SCALING: Final = Interpolation.BICUBIC
# The filter's table of colours is a picture: a cube of that many steps a side, unrolled.
_TABLE_LEVEL: Final = 8
_TABLE_STEPS: Final = _TABLE_LEVEL**2
_TABLE_SIDE: Final = _TABLE_LEVEL**3
_DEEP: Final = "rgb48le"  # in planes, the filter confuses the colours of its table
_TIME_BASE: Final = Fraction(1, TICKS)
_LEAST_DEINTERLACED: Final = 32  # the filter needs some lines and columns, of colour samples too


def shown_size(
    width: int, height: int, *, sides: tuple[int, int] = (LONG_SIDE, SHORT_SIDE)
) -> tuple[int, int]:
    """Returns the size in which a film of that displayed size is shown: even, and never larger than it was,
    except for a side of one pixel. sides: the largest, the long one first.
    """
    scale = min(1.0, sides[0] / max(width, height), sides[1] / min(width, height))
    shown_width, shown_height = (max(2, int(round(side * scale, 3)) // 2 * 2) for side in (width, height))
    return shown_width, shown_height


class FilmPictures:
    """Prepares one frame after the other. size: as shown. orientation: EXIF 1..8."""

    def __init__(self, *, size: tuple[int, int], orientation: int) -> None:
        self.size = size
        self._stored = (size[1], size[0]) if orientation >= 5 else size
        turns = _TURNS.get(orientation)
        self._turn = None if turns is None else _Filter("yuv420p", self._stored, turns)
        self._tables: dict[tuple[int, int], _Filter] = {}
        self._deinterlacer: _Deinterlacer | None = None

    def prepared(self, frame: VideoFrame, ticks: int) -> VideoFrame:
        """Returns the picture of a frame, to be shown at that time."""
        if frame.interlaced_frame and min(frame.width, frame.height) >= _LEAST_DEINTERLACED:
            frame = self._progressive(frame)
        picture = self._in_709(frame)
        picture.pts, picture.time_base = ticks, _TIME_BASE
        if self._turn is not None:
            picture = self._turn(picture)
            picture.pts, picture.time_base = ticks, _TIME_BASE
        return picture

    def _progressive(self, frame: VideoFrame) -> VideoFrame:
        if self._deinterlacer is None or not self._deinterlacer.takes(frame):
            self._deinterlacer = _Deinterlacer(frame)
        return self._deinterlacer(frame)

    def _in_709(self, frame: VideoFrame) -> VideoFrame:
        transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
        if not needs_conversion(transfer=transfer, primaries=primaries):
            return self._coded(frame, src_colorspace=matrix_of(frame))
        width, height = self._stored
        deep = frame.reformat(
            width=width,
            height=height,
            format=_DEEP,
            src_colorspace=matrix_of(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALING,
            threads=1,
        )
        return self._coded(self._table(transfer, primaries)(deep), src_colorspace=None)

    def _coded(self, frame: VideoFrame, *, src_colorspace: Colorspace | None) -> VideoFrame:
        width, height = self._stored
        # Otherwise FFmpeg would convert them too, at seconds per frame.
        frame.color_trc, frame.color_primaries = ColorTrc.BT709, ColorPrimaries.BT709
        return frame.reformat(
            width=width,
            height=height,
            format="yuv420p",
            src_colorspace=src_colorspace,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=_SCALING,
            threads=1,
        )

    def _table(self, transfer: int, primaries: int) -> _Filter:
        """Returns the filter that shows such colours as a poster does."""
        key = transfer, primaries
        if key not in self._tables:
            self._tables[key] = _Filter(
                _DEEP, self._stored, ("haldclut=clut=first",), beside=_colour_table(*key)
            )
        return self._tables[key]


def smaller(picture: VideoFrame, size: tuple[int, int]) -> VideoFrame:
    """Returns a prepared picture in a smaller size."""
    width, height = size
    shown = picture.reformat(width=width, height=height, interpolation=_SCALING, threads=1)
    shown.pts, shown.time_base = picture.pts, picture.time_base
    return shown


class _Filter:
    """FFmpeg's filters on frames of one size. beside: a picture for the filter's second input."""

    def __init__(
        self,
        pixels: str,
        size: tuple[int, int],
        filters: tuple[str, ...],
        *,
        beside: VideoFrame | None = None,
    ) -> None:
        self._graph = Graph()
        width, height = size
        self._source = self._graph.add_buffer(
            width=width,
            height=height,
            format=pixels,  # type: ignore[arg-type]  # a name will do
            time_base=_TIME_BASE,
        )
        last = self._source
        for named in filters:
            name, _, options = named.partition("=")
            following = self._graph.add(name, options)
            last.link_to(following)
            if beside is not None:
                table = self._graph.add_buffer(
                    width=beside.width,
                    height=beside.height,
                    format=pixels,  # type: ignore[arg-type]
                    time_base=_TIME_BASE,
                )
                table.link_to(following, 0, 1)
            last = following
        self._sink = self._graph.add("buffersink")
        last.link_to(self._sink)
        self._graph.configure()
        if beside is not None:
            table.push(beside)
            table.push(None)

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        frame.time_base = _TIME_BASE
        self._source.push(frame)
        filtered = self._sink.pull()
        assert isinstance(filtered, VideoFrame)
        return filtered


class _Deinterlacer(_Filter):
    """Makes whole pictures of frames of two fields, of one size and format."""

    def __init__(self, frame: VideoFrame) -> None:
        super().__init__(frame.format.name, (frame.width, frame.height), ("bwdif=mode=send_frame",))
        self._key = _key(frame)
        self._pushed = 0

    def takes(self, frame: VideoFrame) -> bool:
        return _key(frame) == self._key

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Returns the picture of the first field. The filter waits for the frame that follows; it gets the
        same one again, and looks for movement in the one before.
        """
        frame.time_base = _TIME_BASE
        for _ in range(2):
            frame.pts = self._pushed
            self._source.push(frame)
            self._pushed += 1
        for _ in range(1 if self._pushed == 2 else 2):
            filtered = self._sink.pull()
        assert isinstance(filtered, VideoFrame)
        filtered.colorspace, filtered.color_range = frame.colorspace, frame.color_range
        filtered.color_trc, filtered.color_primaries = frame.color_trc, frame.color_primaries
        return filtered


def _key(frame: VideoFrame) -> tuple[str, int, int]:
    return frame.format.name, frame.width, frame.height


def _colour_table(transfer: int, primaries: int) -> VideoFrame:
    steps = pyvips.Image.xyz(_TABLE_STEPS, _TABLE_STEPS**2)
    red, row = steps.extract_band(0), steps.extract_band(1)
    green, blue = row % _TABLE_STEPS, (row / _TABLE_STEPS).floor()
    signals = red.bandjoin([green, blue]) * (65_535 / (_TABLE_STEPS - 1))
    deep = signals.rint().cast("ushort").copy(interpretation="rgb16")
    shown = to_srgb(deep, transfer=transfer, primaries=primaries)
    samples = (shown.extract_band(0, n=3).cast("ushort") * 257).cast("ushort")
    table = VideoFrame(_TABLE_SIDE, _TABLE_SIDE, _DEEP)
    table.planes[0].update(samples.write_to_memory())
    table.pts, table.time_base = 0, _TIME_BASE
    return table
