"""Runs of checks: requested by ticks and operators, interrupted and continued."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.reconcile import Difference, Page, ReconcilePolicy, Reconciler
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.reconcile.reconciler import PAUSE
from kappi_chassis.reconcile.runs import Run, read_runs, request_check, request_repair
from kappi_contracts.reconciliation import Named
from kappi_testkit.eventually import eventually
from structlog.testing import capture_logs

pytestmark = pytest.mark.integration

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@dataclass
class Numbers:
    """A check of the numbers 1 to 9, three a page. wrong: those that differ. pages: positions read."""

    kinds: ClassVar[Sequence[str]] = ("odd", "even")
    wrong: set[int] = field(default_factory=set)
    passing: set[int] = field(default_factory=set)
    stubborn: set[int] = field(default_factory=set)
    pages: list[str] = field(default_factory=list)
    before_page: Callable[[str], None] = lambda _: None

    async def page(self, after: str) -> Page:
        self.before_page(after)
        self.pages.append(after)
        numbers = range(int(after or 0) + 1, int(after or 0) + 4)
        found = [each for each in numbers if each in self.wrong | self.passing]
        self.passing -= set(numbers)
        return Page(
            after=None if numbers[-1] >= 9 else str(numbers[-1]),
            examined=3,
            differences=[Difference(kind="odd" if each % 2 else "even", subject=str(each)) for each in found],
        )

    async def repair(self, difference: Difference) -> bool:
        number = int(difference.subject)
        if number in self.stubborn:
            return False
        self.wrong.discard(number)
        return True


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


def reconciler(database: Database, numbers: Numbers, clock: Clock, budget: timedelta = MINUTE) -> Reconciler:
    policy = ReconcilePolicy(every=DAY, budget=budget, settle=timedelta(0), poll=timedelta(milliseconds=20))
    return Reconciler(database, {"numbers": numbers}, policy=policy, clock=clock, new_id=new_id)


@asynccontextmanager
async def working(each: Reconciler) -> AsyncIterator[None]:
    task = asyncio.create_task(each.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def finished(url: str) -> Run:
    async def run() -> Run:
        (found,) = await read_runs(url)
        assert found.is_finished
        return found

    return await eventually(run)


async def registered(url: str) -> None:
    async def there() -> None:
        assert await read_runs(url)

    await eventually(there)


async def test_an_operators_check_finds_and_changes_nothing(
    database: Database, url: str, numbers: Numbers, clock: Clock
) -> None:
    numbers.wrong, numbers.passing = {2, 5}, {8}
    async with working(reconciler(database, numbers, clock)):
        await registered(url)
        await request_check(url)
        run = await finished(url)
    assert (run.examined, run.found) == (9, {"even": [1, 0], "odd": [1, 0]}), "8 was gone at a second look"
    assert [each["subject"] for each in run.examples] == ["2", "5"]
    assert numbers.wrong == {2, 5}


async def test_a_repair_mends_what_it_may_and_a_second_one_has_nothing_to_do(
    database: Database, url: str, numbers: Numbers, clock: Clock
) -> None:
    numbers.wrong, numbers.stubborn = {2, 4, 5}, {4}
    async with working(reconciler(database, numbers, clock)):
        await registered(url)
        await request_repair(url)
        assert (await finished(url)).found == {"even": [2, 1], "odd": [1, 1]}
        await request_repair(url)
        assert (await finished(url)).found == {"even": [1, 0]}


async def test_a_run_that_was_interrupted_continues_in_another_process(
    database: Database, url: str, numbers: Numbers, clock: Clock
) -> None:
    numbers.wrong = {1}

    def fail(after: str) -> None:
        if after == "3":
            raise TimeoutError("the store is away")

    numbers.before_page = fail
    async with working(reconciler(database, numbers, clock)):
        await registered(url)
        await request_repair(url)

        async def postponed() -> None:
            (run,) = await read_runs(url)
            assert run.last_error == "TimeoutError: the store is away"

        await eventually(postponed)
    other = Numbers()
    clock.now += PAUSE
    # The operator's command was interrupted, too, and is called again.
    await request_repair(url)
    async with working(reconciler(database, other, clock)):
        run = await finished(url)
    assert other.pages == ["3", "6"]
    assert (run.examined, run.found, run.last_error) == (9, {"odd": [1, 1]}, None)


async def test_ticks_give_a_budget_and_repair_nothing(
    database: Database, url: str, numbers: Numbers, clock: Clock
) -> None:
    numbers.wrong = {1}
    each = reconciler(database, numbers, clock)

    def take_a_minute(_: str) -> None:
        clock.now += MINUTE

    numbers.before_page = take_a_minute
    await each.on_tick(clock.now)
    async with working(each):

        async def read_one_page() -> None:
            (run,) = await read_runs(url)
            assert run.examined == 3

        await eventually(read_one_page)
        # The second look at the first page took a minute, too; then the budget was used up.
        assert numbers.pages == ["", ""]
        numbers.before_page = lambda _: None
        await each.on_tick(clock.now)
        run = await finished(url)
        assert (run.examined, run.found, run.repair) == (9, {"odd": [1, 0]}, False)
        pages = len(numbers.pages)
        await each.on_tick(clock.now)
        assert (await finished(url)).requested_at == run.requested_at, "a day has not passed"
        clock.now += DAY
        await each.on_tick(clock.now)

        async def again() -> None:
            assert len(numbers.pages) > pages
            (newer,) = await read_runs(url)
            assert newer.is_finished
            assert newer.requested_at != run.requested_at

        await eventually(again)


async def test_a_new_request_ends_the_run_under_way(
    database: Database, url: str, numbers: Numbers, clock: Clock
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    original = numbers.page

    async def page(after: str) -> Page:
        if after == "6" and not go_on.is_set():
            reached.set()
            await go_on.wait()
        return await original(after)

    numbers.page = page  # type: ignore[method-assign]
    async with working(reconciler(database, numbers, clock)):
        await registered(url)
        await request_check(url)
        await reached.wait()
        await request_repair(url)
        go_on.set()
        run = await finished(url)
    assert (run.repair, run.examined) == (True, 9)


class Asking(Numbers):
    """A check that needs an answer of another service."""

    async def page(self, after: str) -> Page:
        self.pages.append(after)
        await Peer(f"http://127.0.0.1:{free_port()}", headers={}).still_named(Named())
        raise AssertionError


async def test_a_service_that_is_still_to_start_is_no_warning(
    database: Database, url: str, clock: Clock
) -> None:
    check = Asking()
    with capture_logs() as logs:
        async with working(reconciler(database, check, clock)):
            await registered(url)
            await request_check(url)

            async def postponed() -> None:
                (run,) = await read_runs(url)
                assert run.last_error is not None
                assert run.last_error.startswith("PeerAway: ")

            await eventually(postponed)
    assert {each["log_level"] for each in logs if each["event"] == "reconcile.failed"} == {"info"}
