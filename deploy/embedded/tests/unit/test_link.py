"""How long a link that lets nothing through is hoped for."""

import pytest
from kappi_embedded.client import link as link_module
from kappi_embedded.client.api import ATTEMPTS, Unreachable
from kappi_embedded.client.link import PATIENCE_S, Link
from kappi_embedded.client.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(link_module, "_LONGEST_PAUSE_S", 0.0)
    return Clock()


@pytest.fixture
def link(clock: Clock) -> Link:
    return Link(Pace(widest=4), clock=clock)


async def test_what_came_before_the_first_failure_does_not_count(link: Link, clock: Clock) -> None:
    clock.now += 10 * PATIENCE_S
    await link.pause_unanswered(1, reason="refused")
    clock.now += PATIENCE_S
    await link.pause_unanswered(2, reason="refused")
    clock.now += 1
    with pytest.raises(Unreachable, match="nothing reached the object store for 121 seconds: refused"):
        await link.pause_unanswered(3, reason="refused")


async def test_bytes_that_get_through_are_hope_though_no_part_arrives(link: Link, clock: Clock) -> None:
    for attempt in range(1, 20):
        link.moved()
        clock.now += 2 * PATIENCE_S
        await link.pause_unanswered(attempt, reason="cut")


async def test_an_answer_ends_the_silence_whatever_it_says(link: Link, clock: Clock) -> None:
    await link.pause_unanswered(1, reason="cut")
    clock.now += PATIENCE_S
    await link.pause_refused(2, reason="busy")
    clock.now += PATIENCE_S
    await link.pause_unanswered(3, reason="cut")


async def test_a_store_that_says_no_for_too_long_is_given_up_though_bytes_get_through(
    link: Link, clock: Clock
) -> None:
    for attempt in range(1, ATTEMPTS):
        link.moved()
        await link.pause_refused(attempt, reason="busy")
        clock.now += PATIENCE_S
    with pytest.raises(Unreachable, match="took nothing for 600 seconds: busy"):
        await link.pause_refused(ATTEMPTS, reason="busy")


async def test_refusals_between_cuts_that_let_nothing_through_count(link: Link, clock: Clock) -> None:
    for attempt in range(1, ATTEMPTS):
        await link.pause_refused(attempt, reason="busy")
        await link.pause_unanswered(attempt, reason="cut")
        clock.now += PATIENCE_S
    with pytest.raises(Unreachable, match="took nothing for"):
        await link.pause_refused(ATTEMPTS, reason="busy")


async def test_bytes_that_got_through_to_a_cut_end_the_refusals(link: Link, clock: Clock) -> None:
    await link.pause_refused(1, reason="dead URL")
    clock.now += 10 * PATIENCE_S
    link.moved()
    link.lost()
    await link.pause_unanswered(ATTEMPTS, reason="cut")
    await link.pause_refused(ATTEMPTS + 1, reason="dead URL")


async def test_a_part_that_arrives_ends_the_refusals(link: Link, clock: Clock) -> None:
    await link.pause_refused(1, reason="busy")
    clock.now += 2 * PATIENCE_S
    link.arrived(size_bytes=1, seconds=1.0)
    await link.pause_refused(ATTEMPTS, reason="busy")
