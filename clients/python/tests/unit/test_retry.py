"""The deadline of requests that an object store does not accept."""

import pytest
from kappi_client import retry
from kappi_client.errors import Unreachable
from kappi_client.retry import ATTEMPTS, DEADLINE_S, RetryDeadline


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(retry, "_LONGEST_PAUSE_S", 0.0)
    return Clock()


@pytest.fixture
def deadline(clock: Clock) -> RetryDeadline:
    return RetryDeadline(clock=clock)


async def test_time_before_the_first_failure_does_not_count(deadline: RetryDeadline, clock: Clock) -> None:
    clock.now += 10 * DEADLINE_S
    await deadline.wait_unanswered(1, reason="refused")
    clock.now += DEADLINE_S
    await deadline.wait_unanswered(2, reason="refused")
    clock.now += 1
    with pytest.raises(Unreachable, match="nothing reached the object store for 121 seconds: refused"):
        await deadline.wait_unanswered(3, reason="refused")


async def test_moving_bytes_extend_the_deadline_without_a_stored_part(
    deadline: RetryDeadline, clock: Clock
) -> None:
    for attempt in range(1, 20):
        deadline.bytes_moved()
        clock.now += 2 * DEADLINE_S
        await deadline.wait_unanswered(attempt, reason="cut")


async def test_any_answer_ends_the_time_without_answers(deadline: RetryDeadline, clock: Clock) -> None:
    await deadline.wait_unanswered(1, reason="cut")
    clock.now += DEADLINE_S
    await deadline.wait_refused(2, reason="busy")
    clock.now += DEADLINE_S
    await deadline.wait_unanswered(3, reason="cut")


async def test_refusals_end_at_the_deadline_even_if_bytes_move(deadline: RetryDeadline, clock: Clock) -> None:
    for attempt in range(1, ATTEMPTS):
        deadline.bytes_moved()
        await deadline.wait_refused(attempt, reason="busy")
        clock.now += DEADLINE_S
    with pytest.raises(Unreachable, match="took nothing for 600 seconds: busy"):
        await deadline.wait_refused(ATTEMPTS, reason="busy")


async def test_refusals_count_across_cuts_without_bytes(deadline: RetryDeadline, clock: Clock) -> None:
    for attempt in range(1, ATTEMPTS):
        await deadline.wait_refused(attempt, reason="busy")
        await deadline.wait_unanswered(attempt, reason="cut")
        clock.now += DEADLINE_S
    with pytest.raises(Unreachable, match="took nothing for"):
        await deadline.wait_refused(ATTEMPTS, reason="busy")


async def test_bytes_before_a_cut_reset_the_refusals(deadline: RetryDeadline, clock: Clock) -> None:
    await deadline.wait_refused(1, reason="dead URL")
    clock.now += 10 * DEADLINE_S
    deadline.bytes_moved()
    deadline.cut_while_moving()
    await deadline.wait_unanswered(ATTEMPTS, reason="cut")
    await deadline.wait_refused(ATTEMPTS + 1, reason="dead URL")


async def test_a_stored_part_resets_the_refusals(deadline: RetryDeadline, clock: Clock) -> None:
    await deadline.wait_refused(1, reason="busy")
    clock.now += 2 * DEADLINE_S
    deadline.stored()
    await deadline.wait_refused(ATTEMPTS, reason="busy")
