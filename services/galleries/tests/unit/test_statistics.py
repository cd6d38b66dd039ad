"""The counts shown to an owner identify no single viewer."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from kappi_galleries.domain.statistics import DailyCount, Sums, by_day, for_owner

DAY, NEXT, LATER = date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3)


def test_a_rare_value_is_not_told_and_a_common_one_in_steps() -> None:
    counts = [
        DailyCount(DAY, "kind", "view", 14),
        DailyCount(DAY, "language", "de", 12),
        DailyCount(DAY, "language", "fi", 2),
    ]
    assert for_owner(counts, step=5, today=LATER) == [
        DailyCount(DAY, "kind", "view", 14),
        DailyCount(DAY, "language", "de", 10),
        DailyCount(DAY, "language", "other", 4),
    ]


def test_days_are_cut_each_on_its_own() -> None:
    counts = [DailyCount(day, "language", "fi", 3) for day in (DAY, NEXT)]
    assert {count.value for count in for_owner(counts, step=5, today=LATER)} == {"other"}


def test_a_day_that_is_not_over_has_no_traits() -> None:
    counts = [DailyCount(DAY, "kind", "view", 12), DailyCount(DAY, "language", "de", 12)]
    assert for_owner(counts, step=5, today=DAY) == [
        DailyCount(DAY, "kind", "view", 12),
        DailyCount(DAY, "language", "other", 12),
    ]


def test_an_administrator_is_a_user() -> None:
    counts = [DailyCount(DAY, "role", "admin", 1), DailyCount(DAY, "role", "user", 4)]
    assert for_owner(counts, step=5, today=LATER) == [DailyCount(DAY, "role", "user", 5)]


def test_a_step_of_one_tells_everything() -> None:
    counts = [DailyCount(DAY, "app", "safari", 1)]
    assert for_owner(counts, step=1, today=LATER) == counts


_COUNTS = st.lists(
    st.builds(
        DailyCount,
        st.sampled_from([DAY, NEXT]),
        st.sampled_from(["kind", "language", "role", "app"]),
        st.sampled_from(["a", "b", "admin", "user", "other"]),
        st.integers(1, 50),
    )
)


@given(counts=_COUNTS, step=st.integers(1, 10))
def test_no_access_gets_lost(counts: list[DailyCount], step: int) -> None:
    before, after = Sums().add(counts), Sums().add(for_owner(counts, step=step, today=LATER))
    for name in ("kinds", "languages", "roles", "apps"):
        assert getattr(before, name).total() == getattr(after, name).total()
    assert [day for day, _ in by_day(for_owner(counts, step=step, today=LATER))] == sorted(
        {each.day for each in counts}
    )


@given(counts=_COUNTS, more=st.integers(1, 4))
def test_what_is_told_of_a_value_changes_by_whole_steps(counts: list[DailyCount], more: int) -> None:
    for count in for_owner([*counts, DailyCount(DAY, "language", "a", more)], step=5, today=LATER):
        if count.trait != "kind" and count.value != "other":
            assert count.times % 5 == 0
