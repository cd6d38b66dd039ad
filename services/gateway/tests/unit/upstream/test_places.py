from __future__ import annotations

import asyncio

from kappi_gateway.upstream.pool import Places


async def test_a_place_that_is_given_back_goes_to_the_first_that_waits() -> None:
    places = Places(1)
    assert places.take()
    assert not places.take()
    first, second = asyncio.create_task(places.wait()), asyncio.create_task(places.wait())
    await asyncio.sleep(0)
    places.give_back()
    await first
    assert not second.done()
    places.give_back()
    await second
    places.give_back()
    assert places.take()


async def test_a_call_that_gives_up_leaves_its_place_to_others() -> None:
    places = Places(1)
    assert places.take()
    leaving, staying = asyncio.create_task(places.wait()), asyncio.create_task(places.wait())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    places.give_back()
    await staying


async def test_a_place_is_not_lost_with_a_call_that_gives_up_as_it_gets_it() -> None:
    places = Places(1)
    assert places.take()
    leaving = asyncio.create_task(places.wait())
    await asyncio.sleep(0)
    places.give_back()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert places.take()
