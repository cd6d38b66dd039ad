"""Events with a time in the future are accepted from an operator only, and only within a limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest
from kappi_chassis.bus.future_events import CLOCK_SKEW, ORDER_LIFETIME, acts_too_early
from kappi_chassis.bus.processor import Processor, Record
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event, GalleryDeleted, GalleryExpired, JanitorTick, LinkExpired
from kappi_contracts.topics import BY_CE_TYPE

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ID = UUID(int=1)
INSTANT = timedelta(microseconds=1)
Origin = Literal["timer", "operator"]


def events(at: datetime, origin: Origin) -> list[Event]:
    return [
        JanitorTick(schedule="s", at=at, origin=origin),
        GalleryExpired(gallery_id=ID, expires_at=NOW, as_of=at, origin=origin),
        LinkExpired(link_id=ID, media_id=ID, expires_at=NOW, as_of=at, origin=origin),
    ]


def sent(event: Event, time: datetime = NOW) -> Envelope[Event]:
    return Envelope(id=ID, source="/tests", time=time, sequence=1, data=event)


@pytest.mark.parametrize("origin", ["timer", "operator"])
@pytest.mark.parametrize("ahead", [-timedelta(days=31), timedelta(0), CLOCK_SKEW])
def test_a_due_event_is_accepted_from_any_origin_at_any_age(ahead: timedelta, origin: Origin) -> None:
    for event in events(NOW + ahead, origin):
        for sent_before in (timedelta(0), 30 * ORDER_LIFETIME):
            assert not acts_too_early(sent(event, NOW - sent_before), now=NOW)


@pytest.mark.parametrize("ahead", [CLOCK_SKEW + INSTANT, timedelta(days=31)])
def test_a_future_event_is_accepted_from_an_operator_for_an_hour(ahead: timedelta) -> None:
    for event in events(NOW + ahead, "timer"):
        assert acts_too_early(sent(event), now=NOW)
    for event in events(NOW + ahead, "operator"):
        assert not acts_too_early(sent(event), now=NOW)
        assert not acts_too_early(sent(event, NOW - ORDER_LIFETIME), now=NOW)
        assert acts_too_early(sent(event, NOW - ORDER_LIFETIME - INSTANT), now=NOW)


def test_events_without_a_time_of_action_are_accepted() -> None:
    later = NOW + timedelta(days=400)
    gone = GalleryDeleted(gallery_id=ID, owner_id=None, reason="requested", deleted_at=later)
    assert not acts_too_early(sent(gone), now=NOW)


def test_an_event_that_acts_as_of_an_instant_has_an_origin() -> None:
    acting = [model for model in BY_CE_TYPE.values() if model.acts_as_of]
    assert set(acting) == {JanitorTick, GalleryExpired, LinkExpired}
    for model in acting:
        assert {model.acts_as_of, "origin"} <= set(model.__struct_fields__)
    unmarked = {
        model
        for model in BY_CE_TYPE.values()
        if {"at", "as_of"} & set(model.__struct_fields__) and not model.acts_as_of
    }
    assert not unmarked


async def test_a_consumer_skips_a_future_event() -> None:
    handled: list[Event] = []

    class NoDeadLetters:
        async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
            raise AssertionError(error)

    async def handle(envelope: Envelope[Event]) -> bool:
        handled.append(envelope.data)
        return True

    processor = Processor(
        group="tests",
        handlers={"GalleryExpired": handle},
        dead_letters=NoDeadLetters(),
        clock=lambda: NOW,
    )
    early = events(NOW + timedelta(days=31), "timer")[1]
    due = events(NOW, "timer")[1]
    for event in (early, due):
        envelope = sent(event)
        await processor.process(
            Record("GalleryExpired", 0, 0, envelope.key.encode(), envelope.value(), envelope.headers())
        )
    assert handled == [due]
