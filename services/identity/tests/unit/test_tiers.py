from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_contracts.tiers import ANONYMOUS_TIER, DEFAULT_TIER
from kappi_identity.domain.accounts import TextRefused
from kappi_identity.domain.tiers import (
    MAX_SIZE_PX,
    MAX_SIZES,
    MIN_SIZE_PX,
    PROTECTED_TIERS,
    clean_sizes,
    clean_tier_name,
)


@given(st.lists(st.integers(min_value=MIN_SIZE_PX, max_value=MAX_SIZE_PX), max_size=MAX_SIZES))
def test_sizes_are_ascending_and_there_once(sizes: list[int]) -> None:
    cleaned = clean_sizes(sizes)
    assert set(cleaned) == set(sizes)
    assert list(cleaned) == sorted(set(cleaned))


@pytest.mark.parametrize("sizes", [[MIN_SIZE_PX - 1], [MAX_SIZE_PX + 1], list(range(100, 121)), [-200]])
def test_sizes_have_bounds(sizes: list[int]) -> None:
    with pytest.raises(TextRefused):
        clean_sizes(sizes)


def test_white_space_in_names_is_made_one_space() -> None:
    assert clean_tier_name("  Studio \t One ") == "Studio One"


@pytest.mark.parametrize("name", ["", " ", "1st", "Größe", "a/b", "a" * 51, "a\x00b"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(TextRefused):
        clean_tier_name(name)


def test_what_others_rely_on_is_protected() -> None:
    assert {ANONYMOUS_TIER, DEFAULT_TIER} <= PROTECTED_TIERS
