"""The recorded traits of a caller, and how many of them a process holds."""

from __future__ import annotations

from datetime import date
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_media.statistics import counter as counting
from kappi_media.statistics.counter import MAX_SIGHTINGS, AccessCounter, Sighting
from kappi_media.statistics.events import MAX_ITEMS_PER_EVENT, events_of
from kappi_media.statistics.traits import LANGUAGES, OTHER, UNKNOWN, Traits, network_of, traits_of

GERMAN = Traits("de", "anonymous", "safari")
FRENCH = Traits("fr", "user", "firefox")
DAY = date(2026, 5, 31)
_IPHONE = (
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/17.5 Mobile/15E148 Safari/604.1"
)
_EDGE = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0 "
    b"Safari/537.36 Edg/125.0"
)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (b"de-AT,de;q=0.9,en;q=0.8", "de"),
        (b"EN", "en"),
        (b" fr ;q=0.5", "fr"),
        (b"zh-Hant-TW", "zh"),
        (b"", UNKNOWN),
        (b"*", OTHER),
        (b"tlh", OTHER),
        (b"Ada Lovelace was here", OTHER),
        (b"\xff\xfe", OTHER),
        (b",,", UNKNOWN),
    ],
)
def test_a_language_is_the_first_of_a_closed_list(header: bytes, language: str) -> None:
    assert traits_of(header, b"", "user").language == language


@pytest.mark.parametrize(
    ("header", "app"),
    [
        (_IPHONE, "safari"),
        (_EDGE, "edge"),
        (b"Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0", "firefox"),
        (b"Kappi/3.1 (iOS 17.5) CFNetwork/1496", "kappi"),
        (b"curl/8.5.0", "curl"),
        (b"Mozilla/5.0 (compatible; Googlebot/2.1)", "bot"),
        (b"Ada's own program", OTHER),
        (b"", UNKNOWN),
        (b"   ", UNKNOWN),
    ],
)
def test_an_app_is_a_family_of_a_closed_list(header: bytes, app: str) -> None:
    assert traits_of(b"", header, "user").app == app


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2002:cb00:714d:1::5", "203.0.113.0/24"),
        ("64:ff9b::203.0.113.77", "203.0.113.0/24"),
        ("64:ff9b:1::203.0.113.77", "64:ff9b:1::/48"),
        ("2001:0:4136:e378:8000:63bf:34ff:8eb2", "203.0.113.0/24"),
        ("::1", "::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unknown", UNKNOWN),
        ("", UNKNOWN),
        ("203.0.113.77, 10.0.0.1", UNKNOWN),
    ],
)
def test_an_address_is_shortened(address: str, network: str) -> None:
    assert network_of(address) == network


@given(language=st.binary(max_size=80), agent=st.binary(max_size=300))
def test_no_header_puts_a_text_of_its_own_into_the_counts(language: bytes, agent: bytes) -> None:
    found = traits_of(language, agent, "user")
    assert found.language in LANGUAGES | {OTHER, UNKNOWN}
    assert found.app.replace("_", "").isalpha()
    assert found.app.isascii()


def _count(counter: AccessCounter, gallery_id: UUID, times: int = 1) -> None:
    for _ in range(times):
        counter.count("view", gallery_id, traits=GERMAN, network="203.0.113.0/24")


def test_counts_add_up_and_are_taken_once() -> None:
    counter, gallery_id, media_id = AccessCounter(max_keys=100), uuid4(), uuid4()
    _count(counter, gallery_id, 3)
    counter.count("download", gallery_id, traits=FRENCH, network="::/48", media_id=media_id)
    (event,) = events_of(counter.take(), day=DAY)
    assert msgspec.to_builtins(event) == {
        "gallery_id": str(gallery_id),
        "day": "2026-05-31",
        "kinds": ({"kind": "download", "count": 1}, {"kind": "view", "count": 3}),
        "traits": (
            {"trait": "app", "value": "safari", "count": 3},
            {"trait": "language", "value": "de", "count": 3},
            {"trait": "role", "value": "anonymous", "count": 3},
        ),
        "items": ({"media_id": str(media_id), "kind": "download", "count": 1},),
    }
    assert counter.take() == {}


def _seen(number: int, gallery_id: UUID) -> Sighting:
    """Returns a different sighting for each number."""
    agent, address = f"Safari/{number}".encode(), f"10.0.{number % 7}.1".encode()
    return "view", gallery_id.int, None, "anonymous", b"de", agent, address


def test_what_is_seen_is_classified_when_it_is_taken() -> None:
    counter, gallery_id = AccessCounter(max_keys=100), uuid4()
    for number in (1, 2, 1, 9):
        counter.see(_seen(number, gallery_id))
    counts = counter.take()[gallery_id]
    assert {(traits.language, traits.app) for _, traits in counts.traits} == {("de", "safari")}
    assert sum(counts.traits.values()) == 4
    assert counts.networks == {("view", "10.0.1.0/24"): 2, ("view", "10.0.2.0/24"): 2}
    assert counter.take() == {}


def test_versions_of_an_app_are_one_key() -> None:
    counter, gallery_id = AccessCounter(max_keys=2_000), uuid4()
    for number in range(500):
        agent = f"Mozilla/5.0 Gecko/20100101 Firefox/{number}.0".encode()
        counter.see(("view", gallery_id.int, None, "anonymous", b"de", agent, b"203.0.113.77"))
    assert list(counter.take()[gallery_id].traits.values()) == [500]


def test_what_a_visit_fetches_leaves_no_trait() -> None:
    """Otherwise a viewer of 37 items could be identified by 37 in the log and 37 at a language."""
    counter, gallery_id = AccessCounter(max_keys=100), uuid4()
    _count(counter, gallery_id)
    for kind in ("item_view", "preview", "download", "archive", "link"):
        counter.count(kind, gallery_id, traits=GERMAN, network="203.0.113.0/24", times=37)
    (event,) = events_of(counter.take(), day=DAY)
    assert {each.value: each.count for each in event.traits} == {"de": 1, "anonymous": 1, "safari": 1}
    assert sum(each.count for each in event.kinds) == 1 + 5 * 37


def test_what_is_only_still_to_be_logged_makes_no_event() -> None:
    counter, gallery_id = AccessCounter(max_keys=100), uuid4()
    _count(counter, gallery_id, 3)
    counter.log_again(gallery_id, counter.take()[gallery_id].networks)
    again = counter.take()
    assert again[gallery_id].networks == {("view", "203.0.113.0/24"): 3}
    assert list(events_of(again, day=DAY)) == []


def test_headers_that_differ_each_time_are_not_kept() -> None:
    counter, gallery_id = AccessCounter(max_keys=100), uuid4()
    for number in range(3 * MAX_SIGHTINGS + 1):
        counter.see(_seen(number, gallery_id))
        assert len(counter._seen) < MAX_SIGHTINGS
    counts = counter.take()[gallery_id]
    assert sum(counts.traits.values()) == 3 * MAX_SIGHTINGS + 1
    assert len(counts.networks) == 7


def test_no_event_holds_an_address() -> None:
    counter = AccessCounter(max_keys=100)
    _count(counter, uuid4())
    (event,) = events_of(counter.take(), day=DAY)
    assert b"203.0" not in msgspec.json.encode(event)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TRAITS", "MAX_NETWORKS", "MAX_ITEMS"):
        monkeypatch.setattr(counting, name, 2)


@pytest.mark.usefixtures("small_limits")
def test_a_gallery_that_is_flooded_is_counted_whole_and_told_apart_no_more() -> None:
    counter, gallery_id = AccessCounter(max_keys=100), uuid4()
    for number, language in enumerate(sorted(LANGUAGES)[:10]):
        counter.count(
            "view",
            gallery_id,
            traits=Traits(language, "anonymous", "safari"),
            network=f"10.0.{number}.0/24",
            media_id=uuid4(),
        )
    counts = counter.take()[gallery_id]
    assert sum(counts.traits.values()) == sum(counts.networks.values()) == 10
    assert len(counts.traits) == len(counts.networks) == 3
    assert counts.networks["view", OTHER] == 8
    assert len(counts.items) == 2


def test_memory_is_bounded_whatever_is_asked_for() -> None:
    counter, known = AccessCounter(max_keys=100), uuid4()
    _count(counter, known)
    for _ in range(1000):
        _count(counter, uuid4())
    _count(counter, known)
    counts = counter.take()
    assert sum(len(each.traits) + len(each.networks) + len(each.items) for each in counts.values()) <= 102
    assert counts[known].traits["view", GERMAN] == 2, "what has a key goes on being counted"


def test_a_gallery_of_many_items_makes_more_than_one_event() -> None:
    counter, gallery_id = AccessCounter(max_keys=10_000), uuid4()
    for _ in range(MAX_ITEMS_PER_EVENT + 1):
        counter.count("preview", gallery_id, traits=GERMAN, network="::/48", media_id=uuid4())
    first, second = events_of(counter.take(), day=DAY)
    assert [kind.count for kind in first.kinds] == [MAX_ITEMS_PER_EVENT + 1]
    assert (len(first.items), len(second.items)) == (MAX_ITEMS_PER_EVENT, 1)
    assert (second.kinds, second.traits) == ((), ())
