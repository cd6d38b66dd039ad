from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_galleries.domain.galleries import (
    CountedItem,
    CounterChange,
    Gallery,
    GalleryId,
    LifetimePolicy,
    LifetimeRefused,
    LineRefused,
    PasswordRefused,
    clean_title,
    count,
    is_kept,
    newest,
    read_password,
    with_caps_applied,
)
from kappi_galleries.domain.links import Links

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
    with pytest.raises(LineRefused) as refused:
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
    used_up = replace(gallery, max_views=1, views_used=1, used_up_at=NOW - timedelta(days=9))
    assert not replace(used_up, expires_at=NOW + timedelta(days=1)).is_due(NOW)


A, B, C = (GalleryId(uuid4()) for _ in range(3))


class Tally:
    """The counters of galleries, kept by the tested rules."""

    def __init__(self) -> None:
        self.known: CountedItem | None = None
        self.counted: dict[GalleryId, CounterChange] = dict.fromkeys((A, B, C), CounterChange())

    def apply(self, news: CountedItem) -> None:
        after = newest(self.known, news)
        if not is_kept(after, gallery_alive=after.gallery_id in self.counted):
            return
        for gallery_id, change in count(self.known, after).items():
            if gallery_id in self.counted:
                self.counted[gallery_id] += change
        self.known = after

    def send_to_dlq(self, gallery_id: GalleryId) -> None:
        self.counted.pop(gallery_id, None)
        if self.known is not None and self.known.gallery_id == gallery_id and not self.known.moved:
            self.known = None

    @property
    def told(self) -> dict[GalleryId, tuple[int, int]]:
        """Returns items and bytes of the living galleries that hold something."""
        sums = {gallery_id: (sum_.items, sum_.size_bytes) for gallery_id, sum_ in self.counted.items()}
        return {gallery_id: sum_ for gallery_id, sum_ in sums.items() if sum_ != (0, 0)}


def ready(sequence: int, *, gallery_id: GalleryId = A, size_bytes: int = 100) -> CountedItem:
    return CountedItem(gallery_id=gallery_id, sequence=sequence, state="ready", size_bytes=size_bytes)


def moved(sequence: int, to: GalleryId) -> CountedItem:
    return CountedItem(gallery_id=to, sequence=sequence, state="ready", size_bytes=100, moved=True)


def gone(sequence: int, *, gallery_id: GalleryId = A) -> CountedItem:
    return CountedItem(gallery_id=gallery_id, sequence=sequence, state="deleted", size_bytes=0)


READY = ready(1)
AGAIN = ready(2, size_bytes=80)
GONE = gone(3)


@pytest.mark.parametrize("order", sorted(set(permutations([READY, READY, AGAIN, AGAIN])), key=repr))
def test_the_newest_ready_counts_once_in_any_order(order: tuple[CountedItem, ...]) -> None:
    tally = Tally()
    for news in order:
        tally.apply(news)
    assert tally.told == {A: (1, 80)}


@given(st.lists(st.sampled_from([READY, AGAIN, GONE]), max_size=8), st.integers(min_value=0, max_value=8))
def test_a_deletion_wins_over_everything_before_and_after(order: list[CountedItem], position: int) -> None:
    tally = Tally()
    for news in [*order[:position], GONE, *order[position:]]:
        tally.apply(news)
        assert tally.counted[A].items in (0, 1)
        assert tally.counted[A].size_bytes >= 0
    assert tally.told == {}


def test_a_deletion_is_final_even_against_a_newer_event() -> None:
    assert newest(GONE, ready(9)) == GONE
    assert newest(GONE, moved(9, B)) == replace(GONE, moved=True)


def test_the_contributor_of_an_item_is_known_whichever_event_came_first() -> None:
    contributor_id, known = uuid4(), moved(9, B)
    late = replace(known, gallery_id=A, sequence=2, contributor_id=contributor_id, moved=False)
    assert newest(known, late) == replace(known, contributor_id=contributor_id)
    assert newest(late, known) == replace(known, contributor_id=contributor_id)


def test_a_move_takes_from_one_gallery_what_it_adds_to_another() -> None:
    change = count(READY, newest(READY, moved(2, B)))
    assert change == {
        A: CounterChange(items=-1, size_bytes=-100),
        B: CounterChange(items=1, size_bytes=100),
    }


@dataclass(frozen=True)
class Course:
    """An item's events in order of arrival, and the galleries deleted in between. end: the gallery in which
    the item counts.
    """

    steps: list[CountedItem | GalleryId]
    end: GalleryId | None


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Returns moves among three galleries; every event arrives at least once, in any order."""
    way = [A]
    for _ in range(draw(st.integers(min_value=0, max_value=4))):
        way.append(draw(st.sampled_from([each for each in (A, B, C) if each != way[-1]])))
    events = [ready(1), *(moved(number, to) for number, to in enumerate(way[1:], 2))]
    is_deleted = draw(st.booleans())
    if is_deleted:
        events.append(gone(len(way) + 1, gallery_id=way[-1]))
    again = draw(st.lists(st.sampled_from(events), max_size=3))
    letters = draw(st.lists(st.sampled_from([A, B, C]), max_size=2, unique=True))
    steps: list[CountedItem | GalleryId] = [*events, *again, *letters]
    return Course(
        steps=draw(st.permutations(steps)), end=None if is_deleted or way[-1] in letters else way[-1]
    )


@given(courses())
def test_a_moved_item_counts_where_it_is_in_any_order(course: Course) -> None:
    tally = Tally()
    for step in course.steps:
        if isinstance(step, CountedItem):
            tally.apply(step)
        else:
            tally.send_to_dlq(step)
        assert all(sum_.items in (0, 1) and sum_.size_bytes >= 0 for sum_ in tally.counted.values())
        assert len(tally.told) <= 1
    assert tally.told == ({} if course.end is None else {course.end: (1, 100)})


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


@pytest.mark.parametrize(
    ("max_views", "views", "max_downloads", "downloads", "left"),
    [
        (None, 5, None, 5, (0, 0, False)),
        (6, 5, None, 0, (5, 0, False)),
        (5, 5, 9, 1, (5, 1, True)),
        (4, 5, 9, 1, (5, 1, True)),
        (9, 1, 2, 2, (1, 2, True)),
        (9, 1, None, 2, (1, 0, False)),
    ],
)
@pytest.mark.parametrize("used_up_at", [None, NOW - timedelta(hours=3)])
def test_counts_end_with_their_caps_and_the_rest_decides(
    gallery: Gallery,
    max_views: int | None,
    views: int,
    max_downloads: int | None,
    downloads: int,
    left: tuple[int, int, bool],
    used_up_at: datetime | None,
) -> None:
    changed = with_caps_applied(
        replace(
            gallery,
            max_views=max_views,
            views_used=views,
            max_downloads=max_downloads,
            downloads_used=downloads,
            used_up_at=used_up_at,
        ),
        now=NOW,
    )
    views_left, downloads_left, is_used_up = left
    assert (changed.views_used, changed.downloads_used) == (views_left, downloads_left)
    # The time at which a cap was reached first stays.
    assert changed.used_up_at == ((used_up_at or NOW) if is_used_up else None)
    assert (changed.capped, changed.downloads_capped) == (
        max_views is not None or max_downloads is not None,
        max_downloads is not None,
    )
