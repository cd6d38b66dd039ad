from __future__ import annotations

import pytest
from kappi_media.api.gallery_page import names


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ('W/"1.1.0"', True),
        ('"1.1.0"', True),
        ('"0", W/"1.1.0"', True),
        ("*", True),
        ('W/"1.1.00"', False),
        ('"1.1"', False),
        ("1.1.0", False),
    ],
)
def test_a_tag_is_named_or_not(header: str, named: bool) -> None:
    assert names(header, 'W/"1.1.0"') is named
