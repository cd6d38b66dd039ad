from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_mediameta.gps_free.edits import EditedFile, Outside, Patch, Region, Unremovable
from kappi_mediameta.gps_free.patching import PatchedSource, patched
from kappi_mediameta.probing import BytesSource

CONTENT = bytes(range(200))
Write = tuple[int, bytes]


async def laid_over(body: bytes, patches: tuple[Patch, ...], chunk_bytes: int) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk_bytes):
            yield body[start : start + chunk_bytes]

    return b"".join([piece async for piece in patched(chunks(), patches)])


writes = st.lists(st.tuples(st.integers(0, 180), st.binary(min_size=1, max_size=20)), max_size=12)
zeros = st.lists(st.tuples(st.integers(0, 150), st.integers(0, 50)), max_size=4)


@given(written=writes, zeroed=zeros, chunk_bytes=st.integers(1, 250))
async def test_what_flows_by_is_what_was_written(
    written: list[Write], zeroed: list[tuple[int, int]], chunk_bytes: int
) -> None:
    file, model = EditedFile(BytesSource(CONTENT)), bytearray(CONTENT)
    for start, body in written:
        await file.write(start, body)
        model[start : start + len(body)] = body
        assert await file.read(0, len(CONTENT)) == model
    for start, length in zeroed:
        file.zero(start, length)
        model[start : start + length] = bytes(length)
    assert await laid_over(CONTENT, file.patches(), chunk_bytes) == model
    assert await PatchedSource(BytesSource(CONTENT), file.patches()).read(20, 150) == model[20:170]


async def test_writing_what_is_there_already_is_no_patch() -> None:
    file = EditedFile(BytesSource(CONTENT))
    await file.write(10, CONTENT[10:30])
    assert file.patches() == ()


@given(
    extents=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 40)), min_size=1, max_size=5),
    start=st.integers(0, 60),
    length=st.integers(0, 60),
)
async def test_a_region_in_pieces_is_one_stretch(
    extents: list[tuple[int, int]], start: int, length: int
) -> None:
    region = Region(EditedFile(BytesSource(CONTENT)), extents)
    whole = b"".join(CONTENT[at : at + size] for at, size in extents)
    assert region.size_bytes == len(whole)
    if start + length > len(whole):
        with pytest.raises(Outside):
            await region.read(start, length)
        return
    assert await region.read(start, length) == whole[start : start + length]
    assert await region.part(start, length).read_all() == whole[start : start + length]


async def test_a_region_writes_into_its_pieces() -> None:
    file = EditedFile(BytesSource(CONTENT))
    await Region(file, [(100, 2), (50, 3)]).write(1, b"abc")
    assert await file.read(100, 2) == bytes([100]) + b"a"
    assert await file.read(50, 3) == b"bc" + bytes([52])


async def test_there_is_an_end_to_what_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappi_mediameta.gps_free.edits.MAX_PATCHED_BYTES", 50)
    file = EditedFile(BytesSource(CONTENT))
    for start in range(0, 50, 10):
        await file.write(start, b"x" * 10)
    with pytest.raises(Unremovable):
        await file.write(60, b"x" * 10)


async def test_the_same_bytes_emptied_often_are_one_patch() -> None:
    """Each patch costs time when a copy is made."""
    file = EditedFile(BytesSource(CONTENT))
    for _ in range(1_000):
        file.zero(10, 100)
    file.zero(110, 5)
    file.zero(150, 5)
    assert file.patches() == (Patch(10, 105, None), Patch(150, 5, None))
