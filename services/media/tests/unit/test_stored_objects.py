from __future__ import annotations

from uuid import UUID

import pytest
from kappi_contracts.keys import folder_prefix, gps_free_key, original_key, rendition_key
from kappi_media.domain.stored_objects import Listing, behind, item_at, parse_key, position_of

GALLERY, ITEM, NEXT = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.mark.parametrize("folder", [None, 0, 17])
def test_keys_are_read_as_they_are_written(folder: int | None) -> None:
    for key, name in (
        (original_key(GALLERY, ITEM, folder), "original"),
        (gps_free_key(GALLERY, ITEM, folder), "location-free"),
        (rendition_key(GALLERY, ITEM, "400", folder=folder), "renditions/400.jpg"),
        (folder_prefix(GALLERY, ITEM, folder), ""),
    ):
        assert parse_key(key) == (GALLERY, ITEM, folder, name)


@pytest.mark.parametrize("key", ["x", "galleries/x/y/original", f"galleries/{GALLERY}/original", "posts/1/x"])
def test_other_keys_are_no_item(key: str) -> None:
    assert parse_key(key) is None


def test_a_position_is_behind_all_folders_of_its_item_and_before_the_next_item() -> None:
    key = behind(position_of((GALLERY, ITEM)))
    assert key is not None
    for folder in (None, 0, 99):
        assert rendition_key(GALLERY, ITEM, "zzz", folder=folder) < key
    assert original_key(GALLERY, NEXT, 0) > key
    assert item_at(position_of((GALLERY, ITEM))) == (GALLERY, ITEM)
    assert behind("") is None
    assert item_at("") < (GALLERY, ITEM)


def test_a_listing_groups_folders_and_gives_up_its_last_item() -> None:
    listing = Listing()
    keys = [original_key(GALLERY, ITEM, 5), original_key(GALLERY, ITEM), "galleries/odd"]
    listing.add([*keys, original_key(GALLERY, NEXT)])
    assert listing.without_last() == (GALLERY, ITEM)
    assert listing.items == {(GALLERY, ITEM): {5: {"original"}, None: {"original"}}}
    assert (listing.unknown, listing.objects) == (["galleries/odd"], 4)
