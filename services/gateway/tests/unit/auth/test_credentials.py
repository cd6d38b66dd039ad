from __future__ import annotations

import pytest
from kappi_gateway.auth.credentials import normal_code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"abcd", "abcd"),
        (b"%20ABCD%0a", "abcd"),
        (b"a%2Fb", None),
        (b"%FF", None),
        (b"", None),
        ("\u017fabc".encode(), None),
        ("\u212aabc".encode(), "kabc"),
    ],
)
def test_codes_are_normalised_or_refused(raw: bytes, code: str | None) -> None:
    assert normal_code(raw) == code
