"""Where the reader of the topics goes on, and what that means for the streams."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from kappi_chassis.clock import utc_now
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import AccountDeleted, Event, ItemsReordered, MediaDeleted
from kappi_gateway.auth.grant_cache import KeptGrant
from kappi_gateway.live.stream import End, Stream
from kappi_gateway.live.streams import FeedGap, LiveStreams

GALLERY = uuid4()
FIRST, SECOND = ("MediaReady", 0), ("MediaReady", 1)
BEGINS, ENDS = {FIRST: 0, SECOND: 0}, {FIRST: 7, SECOND: 9}
NO_CHANGE = Envelope(
    id=uuid4(),
    source="/identity",
    time=utc_now(),
    sequence=1,
    data=AccountDeleted(account_id=uuid4(), deleted_at=utc_now()),
)


async def _refuses(_: str) -> KeptGrant | None:
    return None


@pytest.fixture
def live() -> LiveStreams:
    live = LiveStreams(
        reopen=_refuses,
        clock=utc_now,
        heartbeat=timedelta(seconds=15),
        per_gallery=2,
        most_waiting=4,
        changes_kept=10,
        cipher=AESSIV(bytes(32)),
    )
    assert live.locate("c", begins=BEGINS, ends=ENDS) == ENDS
    return live


def opened(live: LiveStreams, *, hides_items: bool = False) -> Stream:
    grant = KeptGrant(token="t", gallery_id=GALLERY, reusable_s=60, hides_items=hides_items)
    return live.open(grant, code="abcd", is_protected=False, last_event_id=None, cut=lambda: None)


def test_reading_goes_on_where_it_stopped_and_streams_last(live: LiveStreams) -> None:
    stream = opened(live)
    live.apply(FIRST, 7, NO_CHANGE)
    live.apply(SECOND, 9, None)
    ends = {FIRST: 20, SECOND: 30}
    assert live.locate("c", begins=BEGINS, ends=ends) == {FIRST: 8, SECOND: 10}
    assert stream.ended is None


@pytest.mark.parametrize(
    ("cluster", "begins", "ends"),
    [
        ("d", BEGINS, ENDS),
        ("c", {FIRST: 8, SECOND: 0}, {FIRST: 20, SECOND: 9}),
        ("c", BEGINS, {FIRST: 2, SECOND: 9}),
        ("c", {**BEGINS, ("MediaReady", 2): 0}, {**ENDS, ("MediaReady", 2): 0}),
    ],
    ids=["another cluster", "records removed", "records lost", "more partitions"],
)
def test_a_gap_ends_all_streams(
    live: LiveStreams, cluster: str, begins: dict[tuple[str, int], int], ends: dict[tuple[str, int], int]
) -> None:
    stream, seen = opened(live), live.changes_seen
    assert live.locate(cluster, begins=begins, ends=ends) == ends
    assert stream.ended is End.INTERRUPTED
    assert live.access_changed(GALLERY, since=seen)
    assert not live.access_changed(GALLERY, since=live.changes_seen)


@pytest.mark.parametrize(("partition", "offset"), [(FIRST, 8), (FIRST, 6), (("MediaReady", 5), 0)])
def test_an_unexpected_record_is_a_gap(live: LiveStreams, partition: tuple[str, int], offset: int) -> None:
    with pytest.raises(FeedGap):
        live.apply(partition, offset, NO_CHANGE)


@pytest.mark.parametrize("hides_items", [False, True])
@pytest.mark.parametrize(
    "event",
    [
        ItemsReordered(gallery_id=GALLERY, reordered_at=utc_now()),
        MediaDeleted(media_id=uuid4(), gallery_id=GALLERY, reason="requested", deleted_at=utc_now()),
    ],
    ids=["order", "item"],
)
async def test_where_items_are_hidden_nothing_is_told_of_them(
    live: LiveStreams, event: Event, hides_items: bool
) -> None:
    stream = opened(live, hides_items=hides_items)
    await stream.read()  # its beginning
    live.apply(FIRST, 7, Envelope(id=uuid4(), source="/media", time=utc_now(), sequence=1, data=event))
    live.flush()
    live.drain()
    told = await stream.read()
    assert (told is None) is hides_items


def test_nothing_is_held_of_streams_that_ended(live: LiveStreams) -> None:
    for _ in range(2):
        stream = opened(live)
        live.close(stream)
    assert not live._groups
    assert not any(live._turns)
