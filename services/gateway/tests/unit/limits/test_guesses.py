from __future__ import annotations

import pytest
from kappi_gateway.errors import TooManyGuesses
from kappi_gateway.limits.guesses import GuessLimit
from kappi_gateway.limits.token_buckets import TokenBuckets


@pytest.fixture
def limit() -> GuessLimit:
    """A limit of one guess at a time, on a clock that stands still."""
    buckets = TokenBuckets(capacity=1, refill_per_s=0.4, max_keys=10, monotonic=lambda: 0.0)
    return GuessLimit(buckets, max_found=2)


def test_retry_after_is_whole_seconds_rounded_up(limit: GuessLimit) -> None:
    limit.spend("1.1.1.1")
    with pytest.raises(TooManyGuesses) as refused:
        limit.check("1.1.1.1")
    assert refused.value.headers == {"Retry-After": "3"}


def test_found_codes_are_bounded_and_the_least_recently_used_are_dropped(limit: GuessLimit) -> None:
    limit.spend("1.1.1.1")
    for code in ("aaaa", "bbbb", "aaaa", "cccc"):
        limit.found("1.1.1.1", code)
    limit.check("1.1.1.1", "aaaa")
    limit.check("1.1.1.1", "cccc")
    for unknown in ("bbbb", None):
        with pytest.raises(TooManyGuesses):
            limit.check("1.1.1.1", unknown)
    limit.missed("1.1.1.1", "cccc")
    limit.missed("1.1.1.1", "never found")
    with pytest.raises(TooManyGuesses):
        limit.check("1.1.1.1", "cccc")


def test_found_codes_are_kept_per_address(limit: GuessLimit) -> None:
    limit.found("1.1.1.1", "aaaa")
    limit.spend("1.1.1.2")
    with pytest.raises(TooManyGuesses):
        limit.check("1.1.1.2", "aaaa")
