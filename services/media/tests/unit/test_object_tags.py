from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import kappi_media
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.storage.tag_rules import checked_tags
from kappi_media.domain.object_tags import (
    MAX_TAGS,
    TaggedFacts,
    TagsUnreadable,
    facts_of,
    tags_of,
    with_facts,
)

PHOTO = TaggedFacts("image", 4032, 3024)
FILM = TaggedFacts("video", 1920, 1080, 61_500)

facts = st.builds(
    TaggedFacts,
    kind=st.sampled_from(["image", "video"]),
    width=st.integers(1, 16_000),
    height=st.integers(1, 16_000),
    duration_ms=st.none() | st.integers(0, 86_400_000),
)


@given(facts)
def test_what_is_written_is_what_is_read_and_every_store_takes_it(known: TaggedFacts) -> None:
    tags = tags_of(known)
    assert checked_tags(tags) == tags
    assert facts_of(tags) == known


def test_others_tags_say_nothing() -> None:
    assert facts_of({}) is None
    assert facts_of({"team": "travel", "kappi": "yes"}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"kappi-kind": "document"},
        {"kappi-kind": ""},
        {"kappi-kind": "Image"},
        {"kappi-width": "0"},
        {"kappi-width": "-1"},
        {"kappi-width": "+1"},
        {"kappi-width": "1.5"},
        {"kappi-width": "1e3"},
        {"kappi-width": "01"},
        {"kappi-width": " 1"},
        {"kappi-width": "1\n"},
        {"kappi-width": "\u0661"},
        {"kappi-width": "1_0"},
        {"kappi-width": "65536"},
        {"kappi-width": "9" * 200},
        {"kappi-width": "60000", "kappi-height": "60000"},
        {"kappi-height": ""},
        {"kappi-duration-ms": "86400001"},
        {"kappi-duration-ms": "-5"},
        {"kappi-duration-ms": ""},
    ],
)
def test_what_kappi_would_not_write_is_not_believed(changed: dict[str, str]) -> None:
    with pytest.raises(TagsUnreadable):
        facts_of(tags_of(FILM) | changed)


@pytest.mark.parametrize("missing", ["kappi-kind", "kappi-width", "kappi-height"])
def test_half_of_it_is_not_believed(missing: str) -> None:
    with pytest.raises(TagsUnreadable):
        facts_of({name: value for name, value in tags_of(FILM).items() if name != missing})


OURS = st.sampled_from(sorted(tags_of(FILM)))


@given(
    st.dictionaries(
        OURS | st.text(max_size=20),
        st.sampled_from(["image", "video", "1", "1920"]) | st.text(max_size=20),
        max_size=5,
    )
)
def test_any_tags_are_others_or_what_kappi_writes_or_refused(tags: dict[str, str]) -> None:
    ours = {name: value for name, value in tags.items() if name in tags_of(FILM)}
    try:
        known = facts_of(tags)
    except TagsUnreadable:
        assert ours
    else:
        assert ours == ({} if known is None else tags_of(known))


def test_tags_of_others_stay_and_ours_are_replaced() -> None:
    before = {"team": "travel", **tags_of(FILM)}
    assert with_facts(before, PHOTO) == {"team": "travel", **tags_of(PHOTO)}


def test_what_is_there_already_is_not_written_again() -> None:
    assert with_facts({"team": "travel", **tags_of(PHOTO)}, PHOTO) is None


def test_others_may_have_taken_all_the_room() -> None:
    with pytest.raises(TagsUnreadable):
        with_facts({f"team-{number}": "" for number in range(MAX_TAGS)}, PHOTO)


def test_what_the_function_at_the_store_packs_needs_no_package() -> None:
    program = "import kappi_media.domain.store_events, kappi_media.domain.object_tags, kappi_media.probing"
    folder = Path(kappi_media.__file__).parents[1]
    # Without site-packages, as in the function's zip.
    bare = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {program}"]
    subprocess.run(bare, check=True)
