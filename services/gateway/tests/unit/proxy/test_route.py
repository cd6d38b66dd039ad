from __future__ import annotations

from kappi_gateway.proxy.route import safe_query


def test_only_raw_bytes_of_queries_are_encoded() -> None:
    assert safe_query(b"a=%2f+&b='\"<>|") == "a=%2f+&b='\"<>|"
    assert safe_query("a=ä b".encode() + b"\r\n") == "a=%C3%A4%20b%0D%0A"
