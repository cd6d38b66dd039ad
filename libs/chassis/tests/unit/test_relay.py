from __future__ import annotations

from typing import Any

from kappi_chassis.outbox.relay import _acknowledged


def row(number: int, key: str) -> dict[str, Any]:
    return {"id": number, "topic": "T", "key": key}


def test_after_a_keys_first_failure_its_later_events_stay() -> None:
    rows = [row(1, "a"), row(2, "b"), row(3, "a"), row(4, "b")]
    outcomes: list[BaseException | None] = [OSError(), None, None, None]
    assert [found["id"] for found in _acknowledged(rows, outcomes)] == [2, 4]


def test_everything_acknowledged_is_marked() -> None:
    rows = [row(1, "a"), row(2, "a")]
    assert _acknowledged(rows, [None, None]) == rows
