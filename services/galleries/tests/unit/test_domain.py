from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_galleries.domain import (
    CountedItem,
    Gallery,
    GalleryId,
    LifetimePolicy,
    LifetimeRefused,
    PasswordRefused,
    TitleRefused,
    clean_title,
    count,
    read_password,
)
from kappi_galleries.links import Links

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = LifetimePolicy(default=timedelta(days=7), longest=timedelta(days=30))


@pytest.fixture
def gallery() -> Gallery:
    return Gallery(
        id=GalleryId(uuid4()),
        code="k7wq",
        owner_id=None,
        visibility="shared",
        title="Lisbon",
        password_protected=False,
        expires_at=NOW,
        created_at=NOW - timedelta(days=7),
        updated_at=NOW - timedelta(days=7),
        deleted_at=None,
        version=1,
        item_count=0,
        size_bytes=0,
    )


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  Lisbon \n", "Lisbon"),
        ("   ", None),
        ("é" * 200, "é" * 200),
        (" " * 50 + "a" * 200 + " " * 50, "a" * 200),
        ("family 👨‍👩‍👧 trip", "family 👨‍👩‍👧 trip"),
        ("שלום לכם", "שלום לכם"),
    ],
)
def test_titles_are_trimmed(text: str, title: str | None) -> None:
    assert clean_title(text) == title


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a" * 201, "too_long"),
        ("a\x00b", "control_character"),
        ("a\nb", "control_character"),
        ("a\x1b[31mb", "control_character"),
        ("a\x85b", "control_character"),
        ("a\u2028b", "control_character"),
        ("a\ud800b", "control_character"),
    ],
)
def test_long_titles_and_control_characters_are_refused(text: str, code: str) -> None:
    with pytest.raises(TitleRefused) as refused:
        clean_title(text)
    assert refused.value.code == code


def test_a_lifetime_counts_from_now_and_has_a_default() -> None:
    assert POLICY.deadline(None, now=NOW) == NOW + timedelta(days=7)
    assert POLICY.deadline(3_600, now=NOW) == NOW + timedelta(hours=1)
    assert POLICY.deadline(30 * 86_400, now=NOW) == NOW + timedelta(days=30)


@pytest.mark.parametrize("seconds", [-1, 0, 3_599, 30 * 86_400 + 1, 10**30])
def test_a_lifetime_has_bounds(seconds: int) -> None:
    with pytest.raises(LifetimeRefused):
        POLICY.deadline(seconds, now=NOW)


def test_a_gallery_is_gone_from_its_deadline_on(gallery: Gallery) -> None:
    assert not gallery.is_gone(NOW - timedelta(microseconds=1))
    assert gallery.is_gone(NOW)
    assert not replace(gallery, expires_at=None).is_gone(NOW)
    assert replace(gallery, expires_at=None, deleted_at=NOW).is_gone(NOW)


def test_only_an_anonymous_living_gallery_is_ever_due(gallery: Gallery) -> None:
    assert gallery.is_due(NOW)
    assert not gallery.is_due(NOW - timedelta(microseconds=1))
    assert not replace(gallery, owner_id=uuid4()).is_due(NOW)
    assert not replace(gallery, expires_at=None).is_due(NOW)
    assert not replace(gallery, deleted_at=NOW).is_due(NOW)


class Tally:
    """One gallery's counters, kept by the rule under test."""

    def __init__(self) -> None:
        self.known: CountedItem | None = None
        self.items = 0
        self.size_bytes = 0

    def apply(self, news: CountedItem) -> None:
        change = count(self.known, news)
        if change is not None:
            self.known = news
            self.items += change.items
            self.size_bytes += change.size_bytes


READY = CountedItem(sequence=1, state="ready", size_bytes=100)
AGAIN = CountedItem(sequence=2, state="ready", size_bytes=80)
GONE = CountedItem(sequence=3, state="deleted", size_bytes=0)


@pytest.mark.parametrize("order", sorted(set(permutations([READY, READY, AGAIN, AGAIN])), key=repr))
def test_the_newest_ready_counts_once_in_any_order(order: tuple[CountedItem, ...]) -> None:
    tally = Tally()
    for news in order:
        tally.apply(news)
    assert (tally.items, tally.size_bytes) == (1, 80)


@given(st.lists(st.sampled_from([READY, AGAIN, GONE]), max_size=8), st.integers(min_value=0, max_value=8))
def test_a_deletion_wins_over_everything_before_and_after(order: list[CountedItem], position: int) -> None:
    tally = Tally()
    for news in [*order[:position], GONE, *order[position:]]:
        tally.apply(news)
        assert tally.items in (0, 1)
        assert tally.size_bytes >= 0
    assert (tally.items, tally.size_bytes) == (0, 0)


def test_a_deletion_is_final_even_against_a_newer_event() -> None:
    assert count(GONE, CountedItem(sequence=9, state="ready", size_bytes=5)) is None


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("open sesame", "open sesame"),
        (" kept as it is ", " kept as it is "),
        ("cafe\u0301", "caf\u00e9"),
        ("no\u00a0break\u3000wide", "no break wide"),
        ("\U0001f511" * 8, "\U0001f511" * 8),
    ],
)
def test_a_password_has_one_form(typed: str, read: str) -> None:
    assert read_password(typed) == read


@pytest.mark.parametrize("text", ["", "a" * 1_025, "tab\t", "nul\u0000", "half \ud800"])
def test_what_is_no_password(text: str) -> None:
    with pytest.raises(PasswordRefused):
        read_password(text)


def test_only_a_shared_gallery_shows_its_code(gallery: Gallery) -> None:
    assert gallery.shown_code == "k7wq"
    assert replace(gallery, visibility="private").shown_code is None
    assert Links("https://kappi.example").to(replace(gallery, visibility="private")) is None
