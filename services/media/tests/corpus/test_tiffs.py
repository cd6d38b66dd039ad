"""TIFFs of every kind are shown correctly, as two other decoders read them, or are refused."""

from __future__ import annotations

import io
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, MediaFormat, Rejected, RejectReason
from kappi_testkit.media.tiff import HEIGHT, Pixels, Tiff, kinds, read_by_tifffile, shown, written
from kappi_testkit.programs import require_program
from PIL import Image, ImageCms

_SIZE: Final = [RenditionSize(height=HEIGHT)]
_PROFILE: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_MEAN, _PIXEL = 2.5, 6.0  # of 255: JPEG and rounding, no more
_SOME: Final = 23  # one of this many kinds, which takes seconds
_each_depth = pytest.mark.parametrize(
    "step", [_SOME, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=2)
    yield renderer
    await renderer.close()


async def picture(renderer: Renderer, body: bytes) -> Pixels | RejectReason:
    source = BytesSource(body)
    try:
        facts = await renderer.probe(source, MediaFormat.TIFF)
        (image,) = await renderer.render(source, facts, _SIZE)
    except Rejected as refused:
        return refused.reason
    return np.asarray(Image.open(io.BytesIO(image.body)).convert("RGB"))


def same(found: Pixels, right: Pixels) -> bool:
    """Returns whether they agree in mean colour, and pixel by pixel except for JPEG's changes at edges."""
    difference = found.astype("f8") - right.astype("f8")
    return bool(np.abs(difference.mean((0, 1))).max() < _MEAN and np.abs(difference).mean() < _PIXEL)


@_each_depth
async def test_a_tiff_is_shown_as_it_is_meant_or_refused_by_name(renderer: Renderer, step: int) -> None:
    outcomes: Counter[str] = Counter()
    wrong = []
    for kind in list(kinds())[::step]:
        body = written(kind, profile=_PROFILE)
        if body is None:
            continue
        found = await picture(renderer, body)
        if isinstance(found, RejectReason):
            outcomes[found] += 1
            if found is not RejectReason.UNSUPPORTED_TYPE or kind.must_be_read:
                wrong.append(f"{kind}: {found}")
        else:
            outcomes["shown"] += 1
            if not same(found, shown(kind)):
                wrong.append(
                    f"{kind}: mean {found.mean((0, 1)).round()}, not {shown(kind).mean((0, 1)).round()}"
                )
    assert wrong == []
    assert set(outcomes) == {"shown", RejectReason.UNSUPPORTED_TYPE}
    assert outcomes["shown"] > outcomes.total() // 3


@_each_depth
async def test_two_other_decoders_see_the_same(renderer: Renderer, step: int, tmp_path: Path) -> None:
    """The decoders are tifffile, whose codecs are its own, and ImageMagick. ImageMagick treats any extra
    sample as opacity, so it does not read those kinds.
    """
    ours: dict[Tiff, Pixels] = {}
    paths: dict[Tiff, Path] = {}
    for number, kind in enumerate(list(kinds())[::step]):
        body = written(kind, profile=_PROFILE)
        found = None if body is None else await picture(renderer, body)
        if body is None or found is None or isinstance(found, RejectReason):
            continue
        ours[kind], paths[kind] = found, tmp_path / f"{number}.tif"
        paths[kind].write_bytes(body)
    assert [
        str(kind) for kind in ours if not same(ours[kind], read_by_tifffile(paths[kind].read_bytes()))
    ] == []
    plain = {kind: path for kind, path in paths.items() if not kind.extras}
    theirs = by_imagemagick(plain)
    assert [str(kind) for kind, found in theirs.items() if not same(ours[kind], found)] == []
    assert len(theirs) > len(plain) // 2, "ImageMagick reads most"


def by_imagemagick(paths: Mapping[Tiff, Path]) -> dict[Tiff, Pixels]:
    """Returns ImageMagick's results, without those that it cannot read."""
    subprocess.run(  # it reports such files, and continues with the next
        [require_program("mogrify"), "-quiet", "-depth", "8", "-type", "TrueColor", "-format", "png"]
        + [str(path) for path in paths.values()],
        check=False,
        capture_output=True,
    )
    pictures = {kind: path.with_suffix(".png") for kind, path in paths.items()}
    return {
        kind: np.asarray(Image.open(path).convert("RGB")) for kind, path in pictures.items() if path.exists()
    }
