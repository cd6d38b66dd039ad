from __future__ import annotations

import gzip

import pytest
import zstandard
from kappi_media.api.compression import compress, negotiate

BODY = b'{"items": [' + b'{"id": 1, "name": "a"},' * 200 + b"]}"


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", "identity"),
        ("identity", "identity"),
        ("br", "identity"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.1", "zstd"),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd; q=0.000, gzip;q=0", "identity"),
        ("zstd;q=0.001", "zstd"),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("*;q=0", "identity"),
        (",,;q=,", "identity"),
    ],
)
def test_the_smallest_coding_the_client_takes_is_chosen(header: str, coding: str) -> None:
    assert negotiate(header) == coding


def test_what_was_compressed_comes_back() -> None:
    assert zstandard.ZstdDecompressor().decompress(compress(BODY, "zstd")) == BODY
    assert gzip.decompress(compress(BODY, "gzip")) == BODY
    assert compress(BODY, "identity") == BODY
    assert len(compress(BODY, "zstd")) < len(BODY) / 10
