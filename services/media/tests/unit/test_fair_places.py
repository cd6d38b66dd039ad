from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from kappi_media.domain.shares import DecoderBudget, Share
from kappi_media.fair_places import FairPlaces


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def budget(time: Time) -> DecoderBudget:
    return DecoderBudget(
        seconds=timedelta(seconds=60), window=timedelta(minutes=10), max_parties=50, monotonic=time
    )


class Crowd:
    """Pieces of work that end on request."""

    def __init__(self, places: FairPlaces, budget: DecoderBudget) -> None:
        self._places = places
        self._budget = budget
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def arrives(self, name: str, share: Share, *, costs: float = 1.0) -> None:
        self._ends[name] = asyncio.Event()

        async def work() -> None:
            async with self._places.held(share):
                self.begun.append(name)
                await self._ends[name].wait()
                self._budget.charge(share, costs)

        self._tasks[name] = asyncio.create_task(work())
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait([self._tasks[name]])
        await asyncio.sleep(0)


@pytest.fixture
def crowd(budget: DecoderBudget) -> Callable[[int], Crowd]:
    return lambda places: Crowd(FairPlaces(places, budget=budget), budget)


def share(address: int, tenant: UUID | None = None) -> Share:
    return Share(tenant or uuid4(), address, anonymous=True)


async def test_many_galleries_of_one_address_are_one(crowd: Callable[[int], Crowd]) -> None:
    """They hold all places; new work of others gets the spare one, and the next that is free."""
    some = crowd(2)
    for number in range(6):
        await some.arrives(f"theirs {number}", share(1))
    assert some.begun == ["theirs 0", "theirs 1"]
    await some.arrives("mine", share(2))
    assert some.begun[2:] == ["mine"]
    await some.end("mine")
    await some.arrives("another's", share(3))
    await some.arrives("mine again", share(2))
    assert some.begun[3:] == ["another's"]
    await some.end("theirs 0")
    assert some.begun[4:] == ["mine again"], "who holds none comes before who holds one"


async def test_many_addresses_of_one_gallery_are_one(crowd: Callable[[int], Crowd]) -> None:
    some, theirs = crowd(1), uuid4()
    for number in range(5):
        await some.arrives(f"theirs {number}", share(number, theirs))
    await some.arrives("mine", share(99))
    assert some.begun == ["theirs 0", "mine"]
    await some.end("theirs 0")
    await some.arrives("mine 2", share(99))
    await some.end("mine")
    assert some.begun[2:] == ["theirs 1", "mine 2"]


async def test_who_had_least_is_next(crowd: Callable[[int], Crowd], budget: DecoderBudget) -> None:
    some, heavy, light = crowd(1), share(1), share(2)
    budget.charge(heavy, 30)
    budget.charge(light, 1)
    await some.arrives("one", share(3))
    await some.arrives("two", share(4))
    await some.arrives("heavy", heavy)
    await some.arrives("light", light)
    await some.end("one")
    assert some.begun[2:] == ["light"]
    await some.end("two")
    assert some.begun[3:] == ["heavy"]


async def test_behind_one_address_a_gallery_does_not_wait_for_another(
    crowd: Callable[[int], Crowd],
) -> None:
    some, busy = crowd(1), uuid4()
    for number in range(5):
        await some.arrives(f"busy {number}", share(1, busy), costs=5)
    await some.arrives("quiet", share(1))
    await some.end("busy 0")
    assert some.begun == ["busy 0", "quiet"]


async def test_beyond_the_budget_work_is_last_and_leaves_a_place(
    crowd: Callable[[int], Crowd], budget: DecoderBudget, time: Time
) -> None:
    some, spent, fresh = crowd(2), share(1), share(2)
    budget.charge(spent, 61)
    for number in range(3):
        await some.arrives(f"late {number}", spent)
    assert some.begun == ["late 0"], "one place stays free"
    await some.arrives("fresh", fresh)
    assert some.begun == ["late 0", "fresh"]
    await some.arrives("fresh 2", fresh)
    await some.end("late 0")
    assert some.begun[2:] == ["fresh 2"]
    await some.end("fresh")
    assert some.begun[3:] == ["late 1"], "it is not forgotten"
    time.now += 60  # a tenth of the window gives a tenth of the budget back
    assert not budget.is_exceeded(spent)


async def test_beyond_the_budget_a_single_place_is_used(
    crowd: Callable[[int], Crowd], budget: DecoderBudget
) -> None:
    some, spent = crowd(1), share(1)
    budget.charge(spent, 100)
    await some.arrives("late", spent)
    assert some.begun == ["late"]


def test_accounts_have_no_budget_but_a_turn(budget: DecoderBudget) -> None:
    account = Share(uuid4(), 1)
    budget.charge(account, 1_000)
    assert not budget.is_exceeded(account)
    assert budget.spent(account) == (1_000, 1_000)


def test_what_is_known_of_parties_is_bounded_and_ends(budget: DecoderBudget, time: Time) -> None:
    for number in range(1_000):
        budget.charge(share(number), 1)
    assert len(budget.levels()) == 50
    time.now += 11
    assert budget.levels() == {}


async def test_who_leaves_takes_no_place_along(crowd: Callable[[int], Crowd]) -> None:
    some = crowd(1)
    only = share(1)
    await some.arrives("first", only)
    await some.arrives("waiting", only)
    await some.leave("waiting")
    await some.leave("first")
    await some.arrives("next", only)
    assert some.begun == ["first", "next"]


async def test_who_leaves_just_when_admitted_takes_no_place_along(budget: DecoderBudget) -> None:
    places, only = FairPlaces(1, budget=budget), share(1)
    async with asyncio.timeout(5):
        async with places.held(only):
            waiting = asyncio.create_task(places.held(only).__aenter__())
            await asyncio.sleep(0)
        waiting.cancel()  # it has its place already
        await asyncio.wait([waiting])
        async with places.held(only):
            pass
