from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from kappi_chassis.fair_queue import FairQueue, NoPlace, Shares

Call = Callable[..., "asyncio.Task[None]"]


@pytest.fixture
def served() -> list[str]:
    """Names of the calls that had a turn, in order."""
    return []


@pytest.fixture
def call(served: list[str]) -> Call:
    """`call(queue, address, name)` starts a call, which ends with the turn that it gets."""

    def call(
        queue: FairQueue, address: str, name: str = "", *, account: str | None = None
    ) -> asyncio.Task[None]:
        async def work() -> None:
            async with queue.turn(Shares(address=address, account=account)):
                served.append(name or address)
                await asyncio.sleep(0)

        return asyncio.create_task(work())

    return call


async def _refusals(*tasks: asyncio.Task[None]) -> list[str]:
    """Returns the limit that refused each call; "" for those that had their turn."""
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [error.limit if isinstance(error, NoPlace) else "" for error in ended]


async def test_addresses_are_served_in_turn(call: Call, served: list[str]) -> None:
    queue = FairQueue(places=16, share=16)
    many = [call(queue, "many", f"many {number}") for number in range(6)]
    few = [call(queue, address) for address in ("one", "other")]
    await asyncio.gather(*many, *few)

    assert served == ["many 0", "many 1", "one", "other", "many 2", "many 3", "many 4", "many 5"]


async def test_one_call_has_its_turn_at_a_time() -> None:
    queue, at_work, most = FairQueue(places=8, share=8), 0, 0

    async def work() -> None:
        nonlocal at_work, most
        async with queue.turn(Shares(address="here")):
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0)
            at_work -= 1

    await asyncio.gather(*(work() for _ in range(8)))
    assert most == 1


async def test_an_address_has_at_most_its_share_of_places(call: Call, served: list[str]) -> None:
    queue = FairQueue(places=64, share=4)
    refused = await _refusals(*(call(queue, "many") for _ in range(80)), call(queue, "one"))

    assert refused == [""] * 4 + ["share"] * 76 + [""]
    assert await _refusals(call(queue, "many")) == [""]


async def test_an_account_has_at_most_its_share_over_all_addresses(call: Call) -> None:
    queue = FairQueue(places=64, share=4)
    calls = [call(queue, f"address {number}", account="one") for number in range(8)]
    refused = await _refusals(*calls, call(queue, "address 0", account="other"))

    assert refused == [""] * 4 + ["share"] * 4 + [""]


async def test_a_full_queue_drops_the_newest_call_of_the_largest_holder(
    call: Call, served: list[str]
) -> None:
    queue = FairQueue(places=9, share=4)
    crowd = [call(queue, f"crowd {number % 3}", f"{number}") for number in range(9)]
    refused = await _refusals(*crowd, call(queue, "one"), call(queue, "crowd 1"))

    assert refused == [""] * 7 + ["queue", "", "", "queue"]
    assert "one" in served
    assert "7" not in served


async def test_a_full_queue_with_one_call_per_address_refuses_new_addresses(call: Call) -> None:
    queue = FairQueue(places=3, share=2)
    refused = await _refusals(*(call(queue, address) for address in ("a", "b", "c", "d")))
    assert refused == ["", "", "", "queue"]


async def test_a_cancelled_call_frees_its_place(call: Call, served: list[str]) -> None:
    queue = FairQueue(places=4, share=4)
    leaving = [call(queue, "many", f"{number}") for number in range(4)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    for task in leaving:
        with suppress(asyncio.CancelledError):
            await task

    assert await _refusals(*(call(queue, "many") for _ in range(5))) == [""] * 4 + ["share"]
    assert served == ["0", *["many"] * 4]


async def test_the_next_call_has_its_turn_after_a_failure(call: Call, served: list[str]) -> None:
    queue = FairQueue(places=4, share=4)

    async def fail() -> None:
        async with queue.turn(Shares(address="here")):
            raise ValueError

    failing, next_one = asyncio.create_task(fail()), call(queue, "next")
    with pytest.raises(ValueError):
        await failing
    await next_one
    assert served == ["next"]


async def test_closing_cancels_waiting_calls(call: Call, served: list[str]) -> None:
    queue = FairQueue(places=4, share=4)
    tasks = [call(queue, "here", f"{number}") for number in range(4)]
    await asyncio.sleep(0)
    queue.close()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True, True, True]
    assert served == ["0"]
