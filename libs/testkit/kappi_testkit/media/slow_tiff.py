"""A picture that is a small file and takes a decoder a long time."""

from __future__ import annotations

import io

from PIL import Image


def slow_tiff(side: int = 15_000) -> bytes:
    """Returns a white, bilevel, fax-coded TIFF: some 200 million pixels in a few kilobytes."""
    out = io.BytesIO()
    Image.new("1", (side, side), 1).save(out, "TIFF", compression="group4")
    return out.getvalue()
