import pytest
from kappi_media.api.content_negotiation import rendition_format

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI = "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/*;q=0.5"


@pytest.mark.parametrize(
    ("accept", "fmt"),
    [
        ("", "jpeg"),
        ("*/*", "jpeg"),
        ("image/*", "jpeg"),
        ("image/jpeg", "jpeg"),
        ("text/html", "jpeg"),
        ("image/avif", "avif"),
        ("image/webp", "webp"),
        ("IMAGE/WebP", "webp"),
        (CHROME, "avif"),
        (SAFARI, "avif"),
        ("image/webp,*/*", "webp"),
        ("image/webp, image/avif", "avif"),
        ("image/avif;q=0.5, image/webp;q=0.9", "webp"),
        ("image/avif;q=0.5, image/webp;q=0.5", "avif"),
        ("image/webp;q=0.9, image/jpeg", "jpeg"),
        ("image/webp;q=0.9, */*", "jpeg"),
        ("image/webp;q=0.9, image/*;q=0.8", "webp"),
        ("image/webp;q=0.9, image/jpeg;q=0.5, */*", "webp"),
        ("image/avif;q=0, */*", "jpeg"),
        ("image/avif;q=0", "jpeg"),
        ("image/avif ; Q=0.000 , image/webp ; q=1.0", "webp"),
        ("image/avif;q=nonsense, image/webp;q=0.1", "webp"),
        ("image/avif;q=2", "jpeg"),
        ("image/webp;v=1;q=0.3, image/jpeg;q=0.2", "webp"),
        ("image/webpx, image/avifs", "jpeg"),
        (",;,=;q=,image/webp;;", "webp"),
    ],
)
def test_a_newer_format_must_be_named_and_liked_no_less(accept: str, fmt: str) -> None:
    assert rendition_format(accept) == fmt
