from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from kappi_gateway.auth.grant_cache import GrantCache, GrantKey, KeptGrant

A, B = UUID(int=1), UUID(int=2)


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cache(time: Time) -> GrantCache:
    return GrantCache(size=3, monotonic=time)


def key(name: str) -> GrantKey:
    return GrantKey("view", name, b"")


async def keep(cache: GrantCache, name: str, gallery_id: UUID = A, reusable_s: float = 45) -> KeptGrant:
    async def ask() -> KeptGrant:
        return KeptGrant(token=name, gallery_id=gallery_id, reusable_s=reusable_s)

    return await cache.obtain(key(name), ask)


async def test_a_grant_is_kept_until_it_is_stale(cache: GrantCache, time: Time) -> None:
    grant = await keep(cache, "a")
    time.now_s += 44.9
    assert cache.find(key("a")) is grant
    time.now_s += 0.1
    assert cache.find(key("a")) is None
    assert len(cache) == 0


async def test_a_grant_without_lifetime_is_not_kept(cache: GrantCache) -> None:
    await keep(cache, "a", reusable_s=0)
    assert len(cache) == 0


async def test_the_cache_is_bounded_and_drops_the_least_recently_used_grants(cache: GrantCache) -> None:
    for name in "abc":
        await keep(cache, name)
    cache.find(key("a"))
    await keep(cache, "d")
    assert [name for name in "abcd" if cache.find(key(name))] == ["a", "c", "d"]


async def test_all_grants_of_a_gallery_are_dropped(cache: GrantCache) -> None:
    await keep(cache, "a", A)
    await keep(cache, "b", A)
    await keep(cache, "c", B)
    cache.drop_gallery(A)
    assert [name for name in "abc" if cache.find(key(name))] == ["c"]


async def test_only_the_refused_grant_is_dropped(cache: GrantCache) -> None:
    old = await keep(cache, "a")
    cache.drop(key("a"), old)
    new = await keep(cache, "a")
    cache.drop(key("a"), old)
    assert cache.find(key("a")) is new


async def test_all_grants_are_dropped(cache: GrantCache) -> None:
    await keep(cache, "a")
    cache.drop_all()
    assert (len(cache), cache.find(key("a"))) == (0, None)


async def test_failures_reach_all_callers_and_are_not_kept(cache: GrantCache) -> None:
    asked = 0

    async def fail() -> KeptGrant:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise LookupError

    outcomes = await asyncio.gather(*(cache.obtain(key("a"), fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 3
    assert (asked, cache.is_being_asked(key("a"))) == (1, False)
    assert (await keep(cache, "a")).token == "a"


async def test_the_request_is_cancelled_when_no_caller_waits(cache: GrantCache) -> None:
    withdrawn = asyncio.Event()

    async def wait() -> KeptGrant:
        try:
            await asyncio.Event().wait()
        finally:
            withdrawn.set()
        raise AssertionError

    waiting = [asyncio.create_task(cache.obtain(key("a"), wait)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not withdrawn.is_set()
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await withdrawn.wait()
    assert not cache.is_being_asked(key("a"))


async def test_a_request_older_than_a_change_is_not_shared(cache: GrantCache) -> None:
    released = asyncio.Event()

    async def old() -> KeptGrant:
        await released.wait()
        return KeptGrant(token="old", gallery_id=A, reusable_s=45)

    asking = asyncio.create_task(cache.obtain(key("a"), old))
    await asyncio.sleep(0)
    cache.drop_gallery(A)
    new = await keep(cache, "a")
    released.set()
    assert (await asking).token == "old"
    assert cache.find(key("a")) is new
