from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_gateway.limits.token_buckets import TokenBuckets


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


def buckets(time: Time, **other: Any) -> TokenBuckets:
    return TokenBuckets(**{"capacity": 3, "refill_per_s": 0.5, "max_keys": 10, "monotonic": time, **other})


def test_a_bucket_gives_its_capacity_and_then_the_refill(time: Time) -> None:
    some = buckets(time)
    waits = []
    for _ in range(4):
        waits.append(some.wait_s("a"))
        some.take("a")
    assert waits == [0, 0, 0, 2]
    time.now_s += 2
    assert some.wait_s("a") == 0


def test_a_bucket_never_exceeds_its_capacity(time: Time) -> None:
    some = buckets(time)
    some.take("a")
    time.now_s += 1000
    for _ in range(3):
        assert some.wait_s("a") == 0
        some.take("a")
    assert some.wait_s("a") > 0


def test_a_returned_token_can_be_taken_again(time: Time) -> None:
    some = buckets(time)
    for _ in range(100):
        some.take("a")
        some.give_back("a")
    assert (some.wait_s("a"), len(some)) == (0, 0)


def test_owed_tokens_extend_the_wait(time: Time) -> None:
    some = buckets(time)
    some.take("a")
    some.owe("a", 10)
    assert some.wait_s("a") == 18
    time.now_s += 18
    assert some.wait_s("a") == 0
    some.owe("b", 10)
    assert (some.wait_s("b"), len(some)) == (0, 1)


def test_giving_back_to_an_unknown_bucket_does_nothing(time: Time) -> None:
    some = buckets(time)
    some.give_back("a")
    assert len(some) == 0


def test_buckets_are_bounded_and_the_least_recently_used_are_dropped(time: Time) -> None:
    some = buckets(time, capacity=1, max_keys=2)
    for key in ("a", "b", "a", "c"):
        some.take(key)
    assert len(some) == 2
    assert (some.wait_s("a") > 0, some.wait_s("b"), some.wait_s("c") > 0) == (True, 0, True)


@given(
    rate=st.floats(0.001, 50, allow_nan=False),
    steps=st.lists(st.floats(0, 100, allow_nan=False), max_size=20),
)
def test_a_token_is_available_after_the_stated_wait(rate: float, steps: list[float]) -> None:
    time = Time()
    some = buckets(time, refill_per_s=rate)
    for step in steps:
        time.now_s += step
        some.take("a")
    time.now_s += some.wait_s("a")
    assert some.wait_s("a") == 0


@given(st.lists(st.sampled_from(["take", "pass"]), max_size=60))
def test_taken_tokens_never_exceed_capacity_and_refill(actions: list[str]) -> None:
    time = Time()
    some = buckets(time)
    taken = 0
    for action in actions:
        if action == "pass":
            time.now_s += 1
        elif some.wait_s("a") == 0:
            some.take("a")
            taken += 1
    assert taken <= 3 + 0.5 * time.now_s
