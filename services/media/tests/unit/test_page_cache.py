from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from kappi_media.api.page_cache import ENTRY_OVERHEAD_BYTES, PageCache


def returns(body: bytes) -> Callable[[], Awaitable[bytes]]:
    async def make() -> bytes:
        await asyncio.sleep(0)
        return body

    return make


async def test_what_was_built_is_kept() -> None:
    cache = PageCache(max_bytes=10_000)
    assert cache.kept("a") is None
    assert await cache.build("a", returns(b"body")) == b"body"
    assert cache.kept("a") == b"body"


async def test_everyone_who_asks_meanwhile_shares_one_build() -> None:
    cache, builds = PageCache(max_bytes=10_000), 0
    go = asyncio.Event()

    async def make() -> bytes:
        nonlocal builds
        builds += 1
        await go.wait()
        return b"body"

    waiting = [asyncio.ensure_future(cache.build("a", make)) for _ in range(20)]
    other = asyncio.ensure_future(cache.build("b", returns(b"other")))
    assert await other == b"other"
    go.set()
    assert set(await asyncio.gather(*waiting)) == {b"body"}
    assert builds == 1


async def test_a_caller_that_leaves_does_not_take_the_build_along() -> None:
    cache, go = PageCache(max_bytes=10_000), asyncio.Event()

    async def make() -> bytes:
        await go.wait()
        return b"body"

    first = asyncio.ensure_future(cache.build("a", make))
    second = asyncio.ensure_future(cache.build("a", make))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == b"body"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_build_that_fails_fails_everyone_and_is_not_kept() -> None:
    cache = PageCache(max_bytes=10_000)

    async def broken() -> bytes:
        await asyncio.sleep(0)
        raise OSError("no database")

    outcomes = await asyncio.gather(*(cache.build("a", broken) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError] * 3
    assert await cache.build("a", returns(b"body")) == b"body"


async def test_the_least_recently_used_goes_first() -> None:
    cache = PageCache(max_bytes=3 * (100 + ENTRY_OVERHEAD_BYTES))
    for key in "abc":
        await cache.build(key, returns(b"x" * 100))
    cache.kept("a")
    await cache.build("d", returns(b"x" * 100))
    assert [key for key in "abcd" if cache.kept(key)] == ["a", "c", "d"]


async def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = PageCache(max_bytes=1_000)
    await cache.build("small", returns(b"x"))
    assert await cache.build("large", returns(b"x" * 1_000)) == b"x" * 1_000
    assert cache.kept("large") is None
    assert cache.kept("small") == b"x"


async def test_no_room_keeps_nothing() -> None:
    cache = PageCache(max_bytes=0)
    assert await cache.build("a", returns(b"")) == b""
    assert cache.kept("a") is None
