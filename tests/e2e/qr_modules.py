"""The modules of a QR code, dark or light, as its picture shows them."""

from __future__ import annotations

import io

import segno
from PIL import Image

BORDER = 4
"""Light modules around a code, as the standard wants."""


def of_link(link: str) -> list[list[bool]]:
    """Returns the modules of the code that a reader takes for this link."""
    code = segno.make_qr(link, error="m")
    return [[bool(module) for module in row] for row in code.matrix_iter(border=BORDER)]


def of_picture(png: bytes, *, count: int) -> list[list[bool]]:
    """Returns the modules that a picture shows. count: on each side, with the border."""
    picture = Image.open(io.BytesIO(png)).convert("L").resize((count, count), Image.Resampling.BOX)
    return [[picture.getpixel((x, y)) == 0 for x in range(count)] for y in range(count)]
