from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kappi_chassis.storage import StorageRefused
from kappi_chassis.storage.local_paths import (
    CONTINUED_SUFFIX,
    MAX_KEY_BYTES,
    OBJECT_SUFFIX,
    decoded_name,
    object_path,
)

ROOT = Path("/store")
segments = st.one_of(
    st.sampled_from(
        ["", ".", "..", "%", "%2e", "%_", "%+", "%.", "a", "A", "é", "e\u0301", "CON", "a.", "\0"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["x" * 250, "😀" * 60, "é" * 400]),
)
keys = (
    st.lists(segments, min_size=1, max_size=6)
    .map("/".join)
    .filter(lambda key: 0 < len(key.encode()) <= MAX_KEY_BYTES)
)


def key_of(path: Path) -> str:
    """The key a path stands for, by the rules in the module's docstring."""
    key = b""
    for name in path.relative_to(ROOT).parts:
        if name.endswith(OBJECT_SUFFIX):
            key += decoded_name(name.removesuffix(OBJECT_SUFFIX))
        elif name.endswith(CONTINUED_SUFFIX):
            key += decoded_name(name.removesuffix(CONTINUED_SUFFIX))
        else:
            key += decoded_name(name) + b"/"
    return key.decode()


@given(keys)
@example("../../etc/passwd")
@example("/")
@example("a//b/")
def test_every_key_has_its_own_path_inside_the_root(key: str) -> None:
    path = object_path(ROOT, key)
    parts = path.relative_to(ROOT).parts
    assert key_of(path) == key
    assert not {".", "..", ""} & set(parts)
    for part in parts:
        assert part.isascii()
        assert part == part.lower()
        assert not part.startswith(".")
        assert len(part) <= 255


def test_keys_of_kappi_become_readable_paths() -> None:
    path = object_path(ROOT, "galleries/0192-ab/0192-cd/renditions/400x300.jpg")
    assert path == Path("/store/galleries/0192-ab/0192-cd/renditions/400x300.jpg%.")


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "\ud800"])
def test_keys_that_no_store_accepts_are_refused(key: str) -> None:
    with pytest.raises(StorageRefused):
        object_path(ROOT, key)
