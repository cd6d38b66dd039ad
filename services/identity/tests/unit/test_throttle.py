from __future__ import annotations

from datetime import timedelta

import pytest
from kappi_identity.throttle import Limit, address_subject


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("", "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_what_an_address_is_limited_by(address: str, subject: str) -> None:
    assert address_subject(address) == subject


def test_a_client_is_told_when_there_is_room_for_one() -> None:
    assert Limit(name="x", burst=1, refill=timedelta(seconds=1.2)).retry_after_s == 2
    assert Limit(name="x", burst=1, refill=timedelta(milliseconds=1)).retry_after_s == 1
