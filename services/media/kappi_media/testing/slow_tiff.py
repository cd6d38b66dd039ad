"""A picture that is small as a file and long work for a decoder."""

from __future__ import annotations

import io

from PIL import Image


def slow_tiff(side: int = 15_000) -> bytes:
    """White, bilevel, fax-coded: some 200 million pixels in as many kilobytes as a short mail."""
    out = io.BytesIO()
    Image.new("1", (side, side), 1).save(out, "TIFF", compression="group4")
    return out.getvalue()
