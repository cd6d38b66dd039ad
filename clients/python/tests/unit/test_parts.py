import hashlib
from pathlib import Path

import pytest
from kappi_client.files import LocalFile, find_files
from kappi_client.journal import PartsNoted
from kappi_client.parts import reliable_parts
from kappi_client.upload_state import Parts, PresentPart

PART_BYTES = 4
BODIES = {1: b"abcd", 2: b"efgh", 3: b"ij"}


@pytest.fixture
def photo(tmp_path: Path) -> LocalFile:
    (tmp_path / "a.jpg").write_bytes(b"".join(BODIES.values()))
    return find_files([tmp_path / "a.jpg"]).files[0]


def listed(etags: dict[int, str]) -> Parts:
    present = [PresentPart(number, len(BODIES[number]), etag) for number, etag in etags.items()]
    return Parts(PART_BYTES, len(BODIES), present, urls={})


def noted(etags: dict[str, str]) -> PartsNoted:
    return PartsNoted(etags, lambda: None)


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def test_acknowledged_parts_and_parts_with_their_digest_are_reliable(photo: LocalFile) -> None:
    for digest in (md5(b"abcd"), hashlib.sha256(b"abcd").hexdigest()[:32]):
        there = listed({1: digest, 2: "opaque", 3: "other"})
        assert reliable_parts(photo, there, noted({"2": "opaque"})) == {1: 4, 2: 4}


def test_parts_that_the_store_has_joined_are_reliable(photo: LocalFile) -> None:
    """An earlier completion made the object, and its answer was lost. All parts have that ETag."""
    joined = f"{md5(b'of all')}-{len(BODIES)}"
    assert reliable_parts(photo, listed(dict.fromkeys(BODIES, joined)), noted({})) == {1: 4, 2: 4, 3: 2}
