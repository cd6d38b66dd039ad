from __future__ import annotations

from kappi_gateway.http.headers import TO_GALLERIES, TO_STORE, WITH_GRANT, WITH_TOKEN, answering, passing


def test_internal_headers_are_never_passed_on() -> None:
    for allowed in (TO_GALLERIES, TO_STORE, WITH_GRANT, WITH_TOKEN):
        assert not [name for name in allowed if name.startswith((b"x-kappi", b"x-forwarded", b"cookie"))]


def test_repeated_headers_stay_repeated() -> None:
    assert passing([(b"accept", b"a"), (b"x", b"y"), (b"accept", b"b")], TO_GALLERIES) == [
        ("accept", "a"),
        ("accept", "b"),
    ]


def test_all_connection_headers_count_in_any_case() -> None:
    headers = [
        (b"accept", b"a"),
        (b"range", b"r"),
        (b"connection", b"Keep-Alive"),
        (b"connection", b"RANGE ,x"),
    ]
    assert passing(headers, TO_GALLERIES) == [("accept", "a")]


def test_headers_of_answers_keep_order_and_repetition() -> None:
    raw = [(b"Vary", b"a"), (b"Connection", b"close"), (b"Vary", b"b"), (b"Content-Length", b"1")]
    assert answering(raw, without_length=False) == [
        (b"vary", b"a"),
        (b"vary", b"b"),
        (b"content-length", b"1"),
    ]
    assert answering(raw, without_length=True) == [(b"vary", b"a"), (b"vary", b"b")]
