"""The sizes of renditions, and the pictures that a renderer returns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_RENDITION_SIDE: Final = 4096
_SIZE: Final = re.compile(r"(?:([1-9]\d{0,3})x)?([1-9]\d{0,3})")


@dataclass(frozen=True, slots=True)
class RenditionSize:
    """The size of a rendition. `400`: that height, the picture never enlarged. `600x600`: exactly that, from
    the middle of the picture, enlarged if needed.
    """

    height: int
    cover_width: int | None = None

    @classmethod
    def parse(cls, text: str) -> RenditionSize:
        """Returns the size. Raises ValueError for anything except `<height>` or `<width>x<height>`, 1 to 4096
        pixels each.
        """
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError("a rendition size is <height> or <width>x<height>")
        size = cls(height=int(match.group(2)), cover_width=int(match.group(1)) if match.group(1) else None)
        if max(size.height, size.cover_width or 0) > MAX_RENDITION_SIDE:
            raise ValueError(f"a rendition side is at most {MAX_RENDITION_SIDE} pixels")
        return size

    def __str__(self) -> str:
        return f"{self.height}" if self.cover_width is None else f"{self.cover_width}x{self.height}"

    def scale_from(self, width: int, height: int) -> float:
        """Returns the scale at which this size needs an original of these dimensions; 1.0 is the full
        size.
        """
        needed = self.height / height
        return min(1.0, needed if self.cover_width is None else max(needed, self.cover_width / width))


def is_size(text: str) -> bool:
    """Returns whether the text has the form of a size, whether or not any tier allows it."""
    return _SIZE.fullmatch(text) is not None


def least_scale(sizes: Iterable[RenditionSize], width: int, height: int) -> float:
    """Returns the scale at which all of the sizes need a picture of these dimensions."""
    return max(size.scale_from(width, height) for size in sizes)


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """An upright sRGB or grey picture without metadata, encoded. width, height: in pixels."""

    body: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class GridPicture:
    """The pictures that every item gets at once. placeholder: a ThumbHash of the same picture."""

    image: RenderedImage
    placeholder: bytes
