from __future__ import annotations

from datetime import timedelta

from kappi_identity.use_cases.throttle import Limit


def test_a_client_is_told_when_there_is_room_for_one() -> None:
    assert Limit(name="x", burst=1, refill=timedelta(seconds=1.2)).retry_after_s == 2
    assert Limit(name="x", burst=1, refill=timedelta(milliseconds=1)).retry_after_s == 1
