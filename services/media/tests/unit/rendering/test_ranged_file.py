import io
import random

import pytest
from kappi_media.rendering.ranged_file import RangedFile

BODY = random.Random(3).randbytes(10_000)


class Store:
    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []

    def fetch(self, start: int, length: int) -> bytes:
        self.reads.append((start, length))
        return BODY[start : start + length]


def ranged(store: Store) -> RangedFile:
    return RangedFile(store.fetch, size_bytes=len(BODY), block_bytes=1_000, kept_blocks=3)


def test_it_reads_like_a_file_in_memory() -> None:
    rng = random.Random(5)
    file, oracle = io.BufferedReader(ranged(Store())), io.BytesIO(BODY)
    for _ in range(500):
        whence = rng.choice((io.SEEK_SET, io.SEEK_END))
        offset = rng.randrange(12_000) if whence == io.SEEK_SET else -rng.randrange(10_000)
        assert file.seek(offset, whence) == oracle.seek(offset, whence)
        length = rng.randrange(3_000)
        assert file.read(length) == oracle.read(length)
        assert file.tell() == oracle.tell()


def test_a_block_is_fetched_once_and_the_last_is_as_long_as_it_is() -> None:
    store = Store()
    file = ranged(store)
    for position in (9_500, 9_900, 9_500):
        file.seek(position)
        assert file.read(10) == BODY[position : position + 10]
    assert store.reads == [(9_000, 1_000)]


def test_it_forgets_blocks_beyond_its_bound() -> None:
    store = Store()
    file = ranged(store)
    for block in (0, 1, 2, 3, 0):
        file.seek(block * 1_000)
        file.read(1)
    assert [start for start, _ in store.reads] == [0, 1_000, 2_000, 3_000, 0]


def test_nothing_before_the_start() -> None:
    with pytest.raises(ValueError, match="start"):
        ranged(Store()).seek(-1)
