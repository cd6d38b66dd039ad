"""Numbers in a TIFF that are no shades."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from kappi_media.rendering.wire import Done, Refused
from kappi_mediameta.probing import RejectReason
from kappi_testkit.media.rendering import answer_for


def counts(top: int, *, extra: bool) -> bytes:
    """Returns numbers from 0 to `top` in 32 bits, with or without a full opacity."""
    pixels = np.linspace(0, top, 5_400).reshape(60, 90).astype("u4")
    if extra:
        pixels = np.dstack([pixels, np.full_like(pixels, 0xFFFFFFFF)])
    out = io.BytesIO()
    extras = ["unassalpha"] if extra else None
    tifffile.imwrite(out, pixels, photometric="minisblack", extrasamples=extras)
    return out.getvalue()


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 24])
async def test_small_numbers_in_32_bits_are_no_black_picture(bits: int, extra: bool) -> None:
    answer = await answer_for(counts((1 << bits) - 1, extra=extra))
    assert isinstance(answer, Refused)
    assert answer.reason is RejectReason.UNSUPPORTED_TYPE


async def test_numbers_of_32_bits_are_shades() -> None:
    assert isinstance(await answer_for(counts(0xFFFFFFFF, extra=False)), Done)
