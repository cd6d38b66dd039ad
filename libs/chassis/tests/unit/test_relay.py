from __future__ import annotations

from typing import Any

from kappi_chassis.outbox.relay import EventRefused, _settled


def row(number: int, key: str) -> dict[str, Any]:
    return {"id": number, "topic": "T", "key": key}


def test_after_the_first_failure_of_a_key_its_later_events_wait() -> None:
    rows = [row(1, "a"), row(2, "b"), row(3, "a"), row(4, "b")]
    outcomes: list[BaseException | None] = [OSError(), None, None, None]
    acknowledged, refused = _settled(rows, outcomes)
    assert [found["id"] for found in acknowledged] == [2, 4]
    assert refused == []


def test_a_refused_event_blocks_its_key_until_it_is_tried_alone() -> None:
    rows = [row(1, "a"), row(2, "a"), row(3, "b"), row(4, "b")]
    outcomes: list[BaseException | None] = [EventRefused(), None, OSError(), EventRefused()]
    acknowledged, refused = _settled(rows, outcomes)
    assert acknowledged == []
    assert [found["id"] for found in refused] == [1]


def test_everything_acknowledged_is_marked() -> None:
    rows = [row(1, "a"), row(2, "a")]
    assert _settled(rows, [None, None]) == (rows, [])
