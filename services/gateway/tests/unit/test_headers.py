from __future__ import annotations

import pytest
from kappi_gateway.credentials import normal_code
from kappi_gateway.headers import (
    TO_GALLERIES,
    TO_IDENTITY,
    TO_STORE,
    WITH_GRANT,
    answering,
    passing,
)
from kappi_gateway.proxy import safe_query


def test_no_list_lets_internal_headers_through() -> None:
    for allowed in (TO_GALLERIES, TO_IDENTITY, TO_STORE, WITH_GRANT):
        assert not [name for name in allowed if name.startswith((b"x-kappi", b"x-forwarded", b"cookie"))]


def test_repeated_headers_stay_repeated() -> None:
    assert passing([(b"accept", b"a"), (b"x", b"y"), (b"accept", b"b")], TO_GALLERIES) == [
        ("accept", "a"),
        ("accept", "b"),
    ]


def test_connection_nominates_whatever_its_case_and_number() -> None:
    headers = [
        (b"accept", b"a"),
        (b"range", b"r"),
        (b"connection", b"Keep-Alive"),
        (b"connection", b"RANGE ,x"),
    ]
    assert passing(headers, TO_GALLERIES) == [("accept", "a")]


def test_answers_keep_order_and_repetition() -> None:
    raw = [(b"Vary", b"a"), (b"Connection", b"close"), (b"Vary", b"b"), (b"Content-Length", b"1")]
    assert answering(raw, without_length=False) == [
        (b"vary", b"a"),
        (b"vary", b"b"),
        (b"content-length", b"1"),
    ]
    assert answering(raw, without_length=True) == [(b"vary", b"a"), (b"vary", b"b")]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"abcd", "abcd"),
        (b"%20ABCD%0a", "abcd"),
        (b"a%2Fb", None),
        (b"%FF", None),
        (b"", None),
        ("\u017fabc".encode(), None),
        ("\u212aabc".encode(), "kabc"),
    ],
)
def test_codes(raw: bytes, code: str | None) -> None:
    assert normal_code(raw) == code


def test_queries_are_left_alone_but_for_raw_bytes() -> None:
    assert safe_query(b"a=%2f+&b='\"<>|") == "a=%2f+&b='\"<>|"
    assert safe_query("a=ä b".encode() + b"\r\n") == "a=%C3%A4%20b%0D%0A"
