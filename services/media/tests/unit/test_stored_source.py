from __future__ import annotations

from pathlib import Path

import pytest
from kappi_chassis.storage import ObjectMissing
from kappi_chassis.storage.local import LocalObjectStore
from kappi_media.stored_source import StoredSource
from kappi_mediameta.probing.source import BLOCK_BYTES
from kappi_testkit.faulty_store import FaultyStore

BODY = bytes(range(256)) * 1_024


async def test_ranges_are_what_the_object_holds(tmp_path: Path) -> None:
    inner = LocalObjectStore(tmp_path)
    await inner.put("a", BODY, content_type="image/jpeg")
    store = FaultyStore(inner)
    source = StoredSource(store, "a", size_bytes=len(BODY))
    for start, length in ((0, 4_096), (0, BLOCK_BYTES), (100, 50), (BLOCK_BYTES - 1, 1)):
        assert await source.read(start, length) == BODY[start : start + length]
    assert store.reads == 1, "sniffing and probing begin with the same block"
    for start, length in ((BLOCK_BYTES, 10), (BLOCK_BYTES - 1, 2), (len(BODY) - 5, 5)):
        assert await source.read(start, length) == BODY[start : start + length]
    assert store.reads == 4
    await inner.close()


async def test_a_missing_object_is_said_so(tmp_path: Path) -> None:
    inner = LocalObjectStore(tmp_path)
    with pytest.raises(ObjectMissing):
        await StoredSource(inner, "b", size_bytes=1).read(0, 1)
    await inner.close()
