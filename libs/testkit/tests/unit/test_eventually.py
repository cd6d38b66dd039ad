"""Waiting with a deadline."""

from __future__ import annotations

import pytest
from kappi_testkit.eventually import eventually


async def test_it_returns_the_result_of_the_assertion() -> None:
    calls = 0

    def third_time() -> int:
        nonlocal calls
        calls += 1
        assert calls == 3
        return calls

    assert await eventually(third_time) == 3


async def test_it_awaits_a_coroutine_function() -> None:
    async def holds() -> str:
        return "held"

    assert await eventually(holds) == "held"


async def test_it_raises_the_last_failure_after_the_deadline() -> None:
    def never() -> None:
        raise AssertionError("still processing")

    with pytest.raises(AssertionError, match="still processing") as failure:
        await eventually(never, 0.02)
    assert failure.value.__notes__ == ["still so after 0.02 s"]


async def test_another_error_is_raised_at_once() -> None:
    calls = 0

    def broken() -> None:
        nonlocal calls
        calls += 1
        raise KeyError("code")

    with pytest.raises(KeyError):
        await eventually(broken)
    assert calls == 1
