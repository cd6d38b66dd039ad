import pytest
from kappi_media.rendering.sizes import RenditionSize


@pytest.mark.parametrize("text", ["400", "200", "600x600", "1x4096"])
def test_a_size_is_read_and_written_alike(text: str) -> None:
    assert str(RenditionSize.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "0", "x400", "400x", "-1", "4097", "600x4097", "99999", "400.5", "٤٠٠", "4x4x4"]
)
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="rendition"):
        RenditionSize.parse(text)


@pytest.mark.parametrize(
    ("size", "original", "scale"),
    [
        ("400", (4000, 3000), 400 / 3000),
        ("400", (300, 200), 1.0),
        ("600x600", (4000, 3000), 0.2),
        ("600x600", (1000, 3000), 0.6),
    ],
)
def test_how_much_of_the_original_a_size_needs(size: str, original: tuple[int, int], scale: float) -> None:
    assert RenditionSize.parse(size).scale_from(*original) == pytest.approx(scale)
