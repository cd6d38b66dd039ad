"""A JPEG that is made smaller while it is decoded looks like one that is made smaller afterwards."""

import statistics
from collections.abc import Iterator

import pytest
import pyvips
from kappi_media.rendering.encoding import ANY_WIDTH
from kappi_media.rendering.picture import _shrink_on_load, load_picture
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize
from kappi_testkit.media.corpus.files import photographs
from kappi_testkit.media.photos import scene
from kappi_testkit.media.samples import encode

GRID = RenditionSize(400)
TWELVE_MEGAPIXELS = (4000, 3000)
ALIKE = 0.98
# Of a picture with as much noise in each pixel as a sensor has in the dark.
NOISY_ALIKE = 0.97


def twelve_megapixels() -> Iterator[tuple[str, bytes]]:
    """Yields pictures with the detail of photographs in each pixel: small ones, repeated side by side."""
    width, height = TWELVE_MEGAPIXELS
    for name, path in photographs().items():
        if path.suffix == ".jpg":
            small = pyvips.Image.new_from_file(str(path))
            tiles = small.replicate(width // small.width + 1, height // small.height + 1)
            yield name, tiles.crop(0, 0, width, height).jpegsave_buffer(Q=90)
    yield "noise", encode(scene(width, height, seed=3), "JPEG", options={"quality": 90})


def similarity(one: pyvips.Image, other: pyvips.Image) -> float:
    """Returns the mean structural similarity of the lightness, at most 1 (Wang and others, 2004)."""
    a, b = (image.colourspace("b-w").cast("float") for image in (one, other))

    def blurred(image: pyvips.Image) -> pyvips.Image:
        return image.gaussblur(1.5)

    mean_a, mean_b = blurred(a), blurred(b)
    spread = blurred(a * a) - mean_a * mean_a + blurred(b * b) - mean_b * mean_b
    common = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (mean_a * mean_b * 2 + c1) * (common * 2 + c2)
    below = (mean_a * mean_a + mean_b * mean_b + c1) * (spread + c2)
    return float((above / below).avg())


def test_pictures_decoded_in_a_quarter_look_like_those_decoded_whole() -> None:
    found = {}
    for name, body in twelve_megapixels():
        file = RangedFile(
            lambda start, length, body=body: body[start : start + length],  # type: ignore[misc]
            size_bytes=len(body),
            block_bytes=len(body),
        )
        ours = load_picture(file, content_type="image/jpeg", sizes=[GRID], max_pixels=20_000_000)
        whole = pyvips.Image.jpegload_buffer(body).thumbnail_image(ANY_WIDTH, height=400, size="down")
        assert (ours.width, ours.height) == (whole.width, whole.height)
        found[name] = similarity(ours, whole)
    assert found.pop("noise") >= NOISY_ALIKE
    assert found
    assert min(found.values()) >= ALIKE, found
    assert statistics.mean(found.values()) < 1, "the picture was decoded whole"


@pytest.mark.parametrize(
    ("height", "wanted", "shrink"),
    [
        (3000, 400, 4),
        (3024, 400, 4),
        (6000, 400, 8),
        (4284, 400, 4),
        (960, 400, 1),
        (1440, 400, 2),
        (3000, 2048, 1),
        (300, 300, 1),
        (30_000, 100, 8),
    ],
)
def test_a_picture_is_never_decoded_too_small_for_the_better_filter(
    height: int, wanted: int, shrink: int
) -> None:
    assert _shrink_on_load(wanted / height) == shrink
