"""Makes a ThumbHash: some 25 bytes from which a client draws a blurred picture
(evanw.github.io/thumbhash).
"""

from __future__ import annotations

from typing import Final

import pyvips
from thumbhash import rgba_to_thumb_hash

# A hash keeps at most seven waves per side, for which 32 pixels are enough: 2 ms. The format's limit of 100
# pixels costs nine times as much.
_SIDE: Final = 32
_OPAQUE: Final = 255


def placeholder(image: pyvips.Image) -> bytes:
    """Returns the ThumbHash of an upright opaque picture, sRGB or grey."""
    small = image.thumbnail_image(_SIDE, height=_SIDE, size="down").colourspace("srgb")
    rgba = list(bytes(small.bandjoin(_OPAQUE).write_to_memory()))
    return bytes(rgba_to_thumb_hash(small.width, small.height, rgba))
